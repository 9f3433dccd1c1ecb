"""The tables of housekeeping; see `store/schema.py`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from orchestrator.store.tables import TIME, metadata

jobs = sa.Table(
    "housekeeping",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("period", sa.Float, nullable=False),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("ended_at", TIME, nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("seconds", sa.Float),
    sa.Column("rounds", sa.Integer, nullable=False, server_default="0"),
    sa.Column("counts", pg.JSONB, nullable=False, server_default="{}"),
    sa.Column("totals", pg.JSONB, nullable=False, server_default="{}"),
)

rounds = sa.Table(
    "housekeeping_rounds",
    metadata,
    sa.Column("sequence", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("ended_at", TIME, nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("counts", pg.JSONB, nullable=False),
    sa.Index("housekeeping_rounds_ended_at_idx", "ended_at"),
)
