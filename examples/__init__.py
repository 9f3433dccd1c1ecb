"""Programs to copy from: they use the public API of :mod:`orchestrator` and nothing else of it."""
