"""Floor 1: what an operator sees."""
