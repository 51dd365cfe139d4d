"""`lab-demo`: the laboratory shown at work: who reaches whom is proven, something is broken, and it says what."""
