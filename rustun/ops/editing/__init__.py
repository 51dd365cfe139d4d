"""Changes of the inventory's files that keep comments and layout, and never leave half of one behind."""
