"""Captures: what passes the interfaces of a laboratory, as one pcapng file with a named interface for each tap."""
