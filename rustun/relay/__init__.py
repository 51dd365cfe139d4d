"""The relay: accepts members, proves who they are, and carries packets inside each cluster."""
