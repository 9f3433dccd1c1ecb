"""A stack of real processes under load, a seeded script of faults, and all rules judged."""
