"""The tests: unit, gate, store, engine, acceptance, CLI, devstack, examples, architecture."""
