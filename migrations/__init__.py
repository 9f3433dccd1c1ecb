"""The schema's history; `orchestrator migrate` applies it."""
