"""Floor 1: PostgreSQL, the truth. The only place that knows SQL."""
