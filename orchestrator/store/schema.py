"""The tables, as metadata that the migrations are compared with.

What metadata cannot hold stands in the migrations alone and is tested there: the trigger
that writes the audit trail, and the one that keeps it append-only.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from orchestrator.domain.lifecycle import STORED, TERMINAL
from orchestrator.store import schema_audit, schema_housekeeping
from orchestrator.store.tables import TIME as _TIME
from orchestrator.store.tables import UUID as _UUID
from orchestrator.store.tables import metadata as metadata

#: The pages of the schema beside this one.
PAGES = (schema_audit, schema_housekeeping)


def _in(column: str, states: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(str(state)) for state in states)})"


IS_STORED = _in("state", STORED)
IS_TERMINAL = _in("state", tuple(state for state in STORED if state in TERMINAL))

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now()),
    # The target of the composite key that keeps an instance in its session's tenant.
    sa.UniqueConstraint("id", "tenant"),
)

agents = sa.Table(
    "agents",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("spec", pg.JSONB, nullable=False),
    sa.Column("updated_at", _TIME, nullable=False, server_default=sa.func.now()),
)

instances = sa.Table(
    "instances",
    metadata,
    sa.Column("id", _UUID, primary_key=True),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("session", sa.Text, nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("pool", sa.Text, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("parent_id", _UUID, sa.ForeignKey("instances.id")),
    sa.Column("root_id", _UUID, nullable=False),
    sa.Column("depth", sa.SmallInteger, nullable=False),
    # Where in its parent's journal it stands; a parent that runs again finds its children by it.
    sa.Column("position", sa.Integer),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("timeout_seconds", sa.Float, nullable=False),
    sa.Column("retry", pg.JSONB, nullable=False),
    sa.Column("not_before", _TIME),
    sa.Column("expires_at", _TIME),
    # What it may take, in the unit of the fair queue, as the one who spawned it says.
    sa.Column("cost", sa.Float),
    sa.Column("budget", pg.JSON),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("args", pg.JSON, nullable=False),
    sa.Column("result", pg.JSON),
    sa.Column("error", pg.JSON),
    sa.Column("worker", sa.Text),
    sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("started_at", _TIME),
    sa.Column("ended_at", _TIME),
    # What it waits for while it is waiting, and what has to end before it may start.
    sa.Column("wait", pg.JSON),
    sa.Column("depends_on", pg.JSON),
    # How often it began anew with an empty journal.
    sa.Column("history", sa.Integer, nullable=False, server_default="0"),
    # Whether its parent's journal was taken back to before its spawn.
    sa.Column("superseded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("detached", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("on_parent_end", sa.Text, nullable=False, server_default="terminate"),
    sa.Column("preemptible", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("progress", pg.JSON),
    sa.Column("paused_at", _TIME),
    sa.Column("retry_of", _UUID, sa.ForeignKey("instances.id")),
    # The attempt that was asked to go back in line, if it still runs.
    sa.Column("yield_attempt", sa.Integer),
    # Seconds that an attempt may show no sign of progress.
    sa.Column("progress_timeout", sa.Float),
    sa.ForeignKeyConstraint(["session", "tenant"], ["sessions.id", "sessions.tenant"]),
    sa.CheckConstraint("on_parent_end IN ('terminate', 'detach')", name="on_parent_end"),
    sa.CheckConstraint(IS_STORED, name="state"),
    sa.CheckConstraint(f"({IS_TERMINAL}) = (ended_at IS NOT NULL)", name="ended"),
    sa.CheckConstraint("state <> 'running' OR attempt > 0", name="begun"),
    sa.CheckConstraint("priority BETWEEN 0 AND 4", name="priority"),
    sa.CheckConstraint("(parent_id IS NULL) = (depth = 0)", name="depth"),
    sa.CheckConstraint("(parent_id IS NULL) = (position IS NULL)", name="position"),
    sa.CheckConstraint("failures BETWEEN 0 AND attempt", name="failures"),
    sa.CheckConstraint("cost > 0", name="cost"),
    sa.CheckConstraint("progress_timeout > 0", name="progress_timeout"),
)
sa.Index("instances_session_idx", instances.c.session, instances.c.id)
sa.Index(
    "instances_parent_id_idx",
    instances.c.parent_id,
    postgresql_where=sa.text("parent_id IS NOT NULL"),
)
sa.Index("instances_live_idx", instances.c.id, postgresql_where=sa.text("ended_at IS NULL"))
sa.Index(
    "instances_live_children_idx",
    instances.c.parent_id,
    postgresql_where=sa.text("ended_at IS NULL AND parent_id IS NOT NULL"),
)
sa.Index(
    "instances_idempotency_key_idx",
    instances.c.tenant,
    instances.c.idempotency_key,
    unique=True,
    postgresql_where=sa.text("idempotency_key IS NOT NULL"),
)
sa.Index(
    "instances_position_idx",
    instances.c.parent_id,
    instances.c.position,
    unique=True,
    postgresql_where=sa.text("NOT superseded AND parent_id IS NOT NULL"),
)
# An instance is run again by one other at a time.
sa.Index(
    "instances_live_retry_idx",
    instances.c.retry_of,
    unique=True,
    postgresql_where=sa.text("ended_at IS NULL AND retry_of IS NOT NULL"),
)
sa.Index(
    "instances_retry_of_idx",
    instances.c.retry_of,
    postgresql_where=sa.text("retry_of IS NOT NULL"),
)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("instance_id", _UUID, sa.ForeignKey("instances.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("value", pg.JSON),
    sa.Column("error", pg.JSON),
    sa.Column("at", _TIME, nullable=False, server_default=sa.func.now()),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("instance_id", _UUID, sa.ForeignKey("instances.id"), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("value", pg.JSON, nullable=False),
    sa.Column("at", _TIME, nullable=False, server_default=sa.func.now()),
)

limits = sa.Table(
    "limits",
    metadata,
    sa.Column("version", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("set_by", sa.Text, nullable=False),
    sa.Column("set_at", _TIME, nullable=False, server_default=sa.func.clock_timestamp()),
    # Whether nothing may start there, whatever the value is.
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("value >= 0 AND value < 'Infinity'", name="value"),
    sa.Index("limits_scope_version_idx", "scope", "version"),
)

sa.Table(
    "credits",
    metadata,
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("amount", sa.Integer, nullable=False),
)
sa.Sequence("credits_version", metadata=metadata)

resources = sa.Table(
    "resources",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("spec", pg.JSONB, nullable=False),
    sa.Column("forced", pg.JSONB, nullable=False, server_default="{}"),
    sa.Column("updated_at", _TIME, nullable=False, server_default=sa.func.now()),
)

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", _UUID, primary_key=True),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("session", sa.Text),
    sa.Column("instance_id", _UUID),
    sa.Column("attempt", sa.Integer),
    sa.Column("agent", sa.Text),
    sa.Column("budget_id", sa.Text),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("requests", sa.Float, nullable=False),
    sa.Column("input_tokens", sa.Float, nullable=False),
    sa.Column("output_tokens", sa.Float, nullable=False),
    sa.Column("usd", sa.Float, nullable=False),
    sa.Column("started_at", _TIME, nullable=False),
    sa.Column("ended_at", _TIME, nullable=False, server_default=sa.func.now()),
)
sa.Index(
    "calls_instance_id_idx",
    calls.c.instance_id,
    postgresql_where=sa.text("instance_id IS NOT NULL"),
)
sa.Index(
    "calls_budget_id_idx", calls.c.budget_id, postgresql_where=sa.text("budget_id IS NOT NULL")
)

budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("session", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("spec", pg.JSON, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("exhausted", sa.Text),
    sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", _TIME, nullable=False, server_default=sa.func.now()),
    sa.ForeignKeyConstraint(["session", "tenant"], ["sessions.id", "sessions.tenant"]),
)

budget_alerts = sa.Table(
    "budget_alerts",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("quantity", sa.Text, primary_key=True),
    sa.Column("percent", sa.SmallInteger, primary_key=True),
    sa.Column("at", _TIME, nullable=False, server_default=sa.func.now()),
)
sa.Index(
    "instances_live_budget_idx",
    instances.c.session,
    postgresql_where=sa.text("budget IS NOT NULL AND ended_at IS NULL"),
)

sa.Table(
    "retry_budgets",
    metadata,
    sa.Column("session", sa.Text, sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("spent", sa.Integer, nullable=False, server_default="0"),
    sa.Column("free_used", sa.Integer, nullable=False, server_default="0"),
    sa.Column("free_since", _TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("begun", sa.Integer, nullable=False, server_default="0"),
    sa.Column("counted_at", _TIME, nullable=False, server_default=sa.func.now()),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("sequence", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("id", _UUID, nullable=False, unique=True),
    sa.Column("session", sa.Text, nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("sender", _UUID),
    sa.Column("name", sa.Text),
    sa.Column("correlation", _UUID),
    sa.Column("body", pg.JSON, nullable=False),
    sa.Column("sent_at", _TIME, nullable=False, server_default=sa.func.clock_timestamp()),
    sa.ForeignKeyConstraint(["session", "tenant"], ["sessions.id", "sessions.tenant"]),
    sa.CheckConstraint("kind IN ('message', 'request', 'reply', 'signal')", name="kind"),
    sa.CheckConstraint("kind <> 'signal' OR name IS NOT NULL", name="name"),
    sa.CheckConstraint("(kind = 'reply') = (correlation IS NOT NULL)", name="correlation"),
    sa.Index("messages_session_idx", "session", "sequence"),
)
sa.Index(
    "messages_sender_idx",
    messages.c.sender,
    messages.c.sequence,
    postgresql_where=sa.text("sender IS NOT NULL"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("sequence", sa.BigInteger, sa.ForeignKey("messages.sequence"), primary_key=True),
    sa.Column("recipient", _UUID, primary_key=True),
    sa.Column("box", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("attempt", sa.Integer),
    sa.Column("history", sa.Integer),
    sa.Column("position", sa.Integer),
    sa.Column("delivered_at", _TIME),
    sa.Column("redeliveries", sa.Integer, nullable=False, server_default="0"),
    sa.CheckConstraint("box IN ('message', 'signal', 'reply')", name="box"),
    sa.CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
    sa.CheckConstraint(
        "(state = 'delivered') = (delivered_at IS NOT NULL)",
        name="delivered",
    ),
    sa.Index("deliveries_recipient_idx", "recipient", "sequence"),
)
sa.Index(
    "deliveries_pending_idx",
    deliveries.c.recipient,
    deliveries.c.box,
    deliveries.c.sequence,
    postgresql_where=sa.text("state = 'pending'"),
)

sa.Table(
    "subscriptions",
    metadata,
    sa.Column("session", sa.Text, primary_key=True),
    sa.Column("topic", sa.Text, primary_key=True),
    sa.Column("instance_id", _UUID, primary_key=True),
)

sa.Table(
    "shared_values",
    metadata,
    sa.Column("session", sa.Text, sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("value", pg.JSON),
    sa.Column("set_by", _UUID),
    sa.Column("set_at", _TIME, nullable=False, server_default=sa.func.clock_timestamp()),
    sa.CheckConstraint("version > 0", name="version"),
    sa.Index("shared_values_key_idx", "session", "key", "version"),
)
