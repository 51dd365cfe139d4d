"""What an inventory says to the laboratory alone: hosts in LANs, NAT routers, links, and the matrix."""
