"""Real Debian systems as nodes of a laboratory: their disk, their network, their life."""
