"""Named scenarios: what the whole has to do, shown step by step with real processes on real kernels' networks."""
