"""A simulator of everything that happens at once: one actor at a time, chosen by a seed."""
