"""Floor 3: what an agent author uses."""
