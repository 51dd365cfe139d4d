"""Settings that every test shares."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run, and no deadline: on a busy machine a slow example says nothing about the code.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")
