"""Floor 0: the values and rules of the product. Standard library only, no I/O, time is an argument."""
