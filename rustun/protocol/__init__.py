"""The protocol as pure functions and state machines: bytes and `now` in, bytes and events out."""
