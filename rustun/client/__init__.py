"""The client: keeps one session with a relay and pumps packets between it and the TUN device."""
