"""Who reaches whom: what the inventory says, what packets say, and what is to be made of the difference."""
