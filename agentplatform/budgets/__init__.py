"""Money ahead of time: what a window will have cost, and when a pace is too fast."""
