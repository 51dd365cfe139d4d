"""How fast the tunnel, the relay and the toolkit are, beside something on the same machine that needs no tunnel."""
