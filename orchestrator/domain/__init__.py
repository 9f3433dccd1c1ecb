"""Floor 0: the values and rules of the product. No I/O, time is an argument."""
