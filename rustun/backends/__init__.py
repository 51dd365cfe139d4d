"""The outside world behind narrow contracts: `base` states them, the other modules keep them."""
