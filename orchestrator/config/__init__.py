"""Floor 2: one validated settings object."""
