"""Six things that the orchestrator promises, shown and proved one after the other."""
