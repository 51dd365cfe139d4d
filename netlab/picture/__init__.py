"""Pictures of a laboratory, planned or running, and of what packets did in it: as text, Mermaid and SVG."""
