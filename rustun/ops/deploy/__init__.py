"""From the inventory to the hosts: what each shall have, what it has, the steps between, and how they are taken."""
