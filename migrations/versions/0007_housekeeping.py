"""What housekeeping has done, and how long an attempt may show no sign of progress."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

UP = """
-- Each job of housekeeping with its last round. `ended_at` is when that was over, or when a process
-- that does the job was started; `counts` are what the round did, `totals` what all have done.
CREATE TABLE housekeeping (
    job text CONSTRAINT housekeeping_pkey PRIMARY KEY,
    period double precision NOT NULL,
    process text NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds double precision,
    rounds integer NOT NULL DEFAULT 0,
    counts jsonb NOT NULL DEFAULT '{}',
    totals jsonb NOT NULL DEFAULT '{}'
);

-- Each round that did anything, for as long as messages are kept.
CREATE TABLE housekeeping_rounds (
    sequence bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT housekeeping_rounds_pkey PRIMARY KEY,
    job text NOT NULL,
    process text NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds double precision NOT NULL,
    counts jsonb NOT NULL
);
CREATE INDEX housekeeping_rounds_ended_at_idx ON housekeeping_rounds (ended_at);

ALTER TABLE instances ADD COLUMN progress_timeout double precision
    CONSTRAINT instances_progress_timeout_check CHECK (progress_timeout > 0);
"""

DOWN = """
ALTER TABLE instances DROP COLUMN progress_timeout;
DROP TABLE housekeeping_rounds;
DROP TABLE housekeeping;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
