"""What is legal in an inventory and still asks for a second look, with place, reason and remedy."""
