"""Other tunnels, from Debian's packages, between the same namespaces and addresses as rustun's."""
