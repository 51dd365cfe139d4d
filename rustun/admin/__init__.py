"""What a running process tells its operator: never in the path of a packet."""
