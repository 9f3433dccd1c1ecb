"""The tables of the audit trail, and the keys of payloads."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from orchestrator.store.tables import TIME, UUID, metadata

events = sa.Table(
    "events",
    metadata,
    sa.Column("sequence", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("instance_id", UUID, nullable=False),
    sa.Column("session", sa.Text, nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("from_state", sa.Text),
    sa.Column("to_state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),
    # The key of a table in parts has to name what it is parted by.
    sa.Column("at", TIME, primary_key=True, server_default=sa.func.clock_timestamp()),
    # `state` for a change of state or attempt; of others, `detail` says more.
    sa.Column("kind", sa.Text, nullable=False, server_default="state"),
    sa.Column("detail", pg.JSON),
    sa.Index("events_instance_id_idx", "instance_id", "sequence"),
    # A part for each month, and one for what none is there for: the migration makes them.
    postgresql_partition_by="RANGE (at)",
)

audit_seals = sa.Table(
    "audit_seals",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    # None: a cut, which says what was dropped.
    sa.Column("session", sa.Text),
    sa.Column("session_number", sa.BigInteger),
    sa.Column("first_sequence", sa.BigInteger),
    sa.Column("last_sequence", sa.BigInteger),
    sa.Column("upto", sa.BigInteger, nullable=False),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("cut_before", TIME),
    sa.Column("session_previous", pg.BYTEA),
    sa.Column("session_hash", pg.BYTEA, nullable=False),
    sa.Column("previous", pg.BYTEA, nullable=False),
    sa.Column("hash", pg.BYTEA, nullable=False),
    sa.Column("sealed_at", TIME, nullable=False),
    sa.CheckConstraint("(session IS NULL) = (cut_before IS NOT NULL)", name="session"),
)
sa.Index(
    "audit_seals_session_idx",
    audit_seals.c.session,
    audit_seals.c.session_number,
    unique=True,
    postgresql_where=sa.text("session IS NOT NULL"),
)

sa.Table(
    "audit_mark",
    metadata,
    sa.Column("is_only", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("upto", sa.BigInteger, nullable=False),
    sa.Column("holders", pg.ARRAY(sa.Text), nullable=False),
    sa.CheckConstraint("is_only", name="is_only"),
)

payload_keys = sa.Table(
    "payload_keys",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    # '': the key of the tenant itself.
    sa.Column("session", sa.Text, nullable=False),
    # None: destroyed.
    sa.Column("wrapped", pg.BYTEA),
    # The id of the tenant's key, or the name of a master key.
    sa.Column("wrapped_by", sa.Text, nullable=False),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("erased_at", TIME),
    sa.CheckConstraint("(wrapped IS NULL) = (erased_at IS NOT NULL)", name="erased"),
)
sa.Index(
    "payload_keys_current_idx",
    payload_keys.c.tenant,
    payload_keys.c.session,
    unique=True,
    postgresql_where=sa.text("wrapped IS NOT NULL"),
)
