"""Who may reach whom, asserted in words beside the inventory and checked against what is generated from it."""
