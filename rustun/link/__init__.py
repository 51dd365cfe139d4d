"""One framed connection: received bytes become frames, sealed frames become sent bytes; relay and client share it."""
