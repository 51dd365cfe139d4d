"""Laboratories that stay up: the process that keeps one, where it is found, and the commands that talk to it."""
