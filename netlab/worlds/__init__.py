"""Machines, real processes and witnesses: what scenarios, and tests against the kernel, are made of."""
