"""The ways to run an agent's code."""
