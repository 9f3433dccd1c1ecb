"""An audit of a Python code base, done by a tree of agents. Read `agents.py` first."""
