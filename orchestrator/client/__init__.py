"""Floor 4: what a service uses."""
