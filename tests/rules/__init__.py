"""The rules R1 to R10, as checks of what is left of a run."""
