"""The schema's history. `orchestrator migrate` applies it; docs/how-to/add-a-migration.md tells how to add to it."""
