"""Stopping, pausing and running again: retry budgets, detached children, paused scopes."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

TABLES = """
-- yield_attempt: the attempt that was asked to go back in line, if it still runs.
ALTER TABLE instances ADD COLUMN yield_attempt integer;

-- An instance is run again by one other at a time.
CREATE UNIQUE INDEX instances_live_retry_idx
    ON instances (retry_of) WHERE ended_at IS NULL AND retry_of IS NOT NULL;

-- paused: nothing may start there, whatever the value is.
ALTER TABLE limits ADD COLUMN paused boolean NOT NULL DEFAULT false;

-- How often sessions have tried again. `spent` are retries beyond the free ones of each minute;
-- `begun` is how many of the session's instances had begun when they were counted last.
CREATE TABLE retry_budgets (
    session text CONSTRAINT retry_budgets_pkey PRIMARY KEY
        CONSTRAINT retry_budgets_session_fkey REFERENCES sessions (id),
    spent integer NOT NULL DEFAULT 0,
    free_used integer NOT NULL DEFAULT 0,
    free_since timestamptz NOT NULL DEFAULT now(),
    begun integer NOT NULL DEFAULT 0,
    counted_at timestamptz NOT NULL DEFAULT now()
);
"""

RETRIES = """
-- Whether a session may try once more: so many times a minute in any case, and beyond that a share
-- of the instances that it has begun. The row is locked until the end of the transaction, and
-- before any instance is: so two that fail at once cannot wait for each other.
CREATE FUNCTION take_retry(the_session text, ratio double precision, floor integer)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    budget retry_budgets;
BEGIN
    INSERT INTO retry_budgets (session) VALUES (the_session) ON CONFLICT DO NOTHING;
    SELECT * INTO budget FROM retry_budgets WHERE session = the_session FOR UPDATE;
    IF budget.free_since < clock_timestamp() - interval '1 minute' THEN
        budget.free_since := clock_timestamp();
        budget.free_used := 0;
    END IF;
    IF budget.free_used < floor THEN
        UPDATE retry_budgets
        SET free_used = budget.free_used + 1, free_since = budget.free_since
        WHERE session = the_session;
        RETURN true;
    END IF;
    -- Counting costs as much as the session is large: a large one is counted once a second.
    IF budget.spent + 1 > ratio * budget.begun
        AND (budget.begun < 1000 OR budget.counted_at < clock_timestamp() - interval '1 second')
    THEN
        SELECT count(*) INTO budget.begun FROM instances
        WHERE session = the_session AND started_at IS NOT NULL;
        UPDATE retry_budgets SET begun = budget.begun, counted_at = clock_timestamp()
        WHERE session = the_session;
    END IF;
    IF budget.spent + 1 > ratio * budget.begun THEN
        RETURN false;
    END IF;
    UPDATE retry_budgets SET spent = spent + 1 WHERE session = the_session;
    RETURN true;
END $$;
"""

ATTEMPTS = """
-- What was recorded of the attempts that failed, and of this one, whose worker was lost: as
-- `domain/failure.py` has it of those that raise.
CREATE FUNCTION add_attempt(error json, attempt integer) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    lost jsonb := jsonb_build_object('type', 'WorkerLost',
        'message', 'its worker died, froze, or lost its connection');
    attempts jsonb := coalesce(error::jsonb -> 'attempts', '[]');
BEGIN
    IF jsonb_array_length(attempts) >= 20 THEN
        attempts := attempts - 0;
    END IF;
    attempts := attempts || jsonb_build_array(
        lost || jsonb_build_object('attempt', attempt, 'at', clock_timestamp()));
    RETURN lost || jsonb_build_object('attempts', attempts);
END $$;
"""

CASCADES = """
-- These have been cancelled, or are out of budget: so is everything below them. Only for want of a
-- budget does that reach those who were spawned detached: they live on the same budget.
CREATE OR REPLACE FUNCTION cancel_below(ended uuid[], why text)
RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    level uuid[] := ended;
BEGIN
    LOOP
        WITH doomed AS (
            SELECT id FROM instances
            WHERE parent_id = ANY(level) AND ended_at IS NULL
              AND (NOT detached OR why = 'BUDGET_EXCEEDED')
            ORDER BY id FOR UPDATE
        ), gone AS (
            UPDATE instances SET state = 'cancelled', reason = why, ended_at = now()
            FROM doomed WHERE instances.id = doomed.id
            RETURNING instances.id
        )
        SELECT array_agg(id) INTO level FROM gone;
        EXIT WHEN level IS NULL;
        RETURN QUERY SELECT unnest(level);
    END LOOP;
END $$;

-- These have come to an end of their own, completed or failed: their children with
-- on_parent_end = 'detach' go on.
CREATE FUNCTION end_below(ended uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    children uuid[];
BEGIN
    WITH doomed AS (
        SELECT id FROM instances
        WHERE parent_id = ANY(ended) AND ended_at IS NULL
          AND NOT detached AND on_parent_end = 'terminate'
        ORDER BY id FOR UPDATE
    ), gone AS (
        UPDATE instances SET state = 'cancelled', reason = 'PARENT_ENDED', ended_at = now()
        FROM doomed WHERE instances.id = doomed.id
        RETURNING instances.id
    )
    SELECT array_agg(id) INTO children FROM gone;
    IF children IS NOT NULL THEN
        RETURN QUERY SELECT unnest(children);
        RETURN QUERY SELECT cancel_below(children, 'PARENT_ENDED');
    END IF;
END $$;

CREATE OR REPLACE FUNCTION settle_instance(
    the_id uuid, the_attempt integer, the_state text, the_reason text, the_result json,
    the_error json, failed integer
) RETURNS uuid[] LANGUAGE plpgsql AS $$
BEGIN
    UPDATE instances
    SET state = the_state, reason = the_reason, result = the_result, error = the_error,
        failures = failures + failed, ended_at = now()
    WHERE id = the_id AND state = 'running' AND attempt = the_attempt;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Most have no live children, and asking for those of one parent is always an index scan;
    -- the cascade's plan depends on statistics.
    IF NOT EXISTS (SELECT FROM instances WHERE parent_id = the_id AND ended_at IS NULL) THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT end_below(ARRAY[the_id]));
END $$;
"""

DOWN = """
CREATE OR REPLACE FUNCTION settle_instance(
    the_id uuid, the_attempt integer, the_state text, the_reason text, the_result json,
    the_error json, failed integer
) RETURNS uuid[] LANGUAGE plpgsql AS $$
BEGIN
    UPDATE instances
    SET state = the_state, reason = the_reason, result = the_result, error = the_error,
        failures = failures + failed, ended_at = now()
    WHERE id = the_id AND state = 'running' AND attempt = the_attempt;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Most have no live children, and asking for those of one parent is always an index scan;
    -- the cascade's plan depends on statistics.
    IF NOT EXISTS (SELECT FROM instances WHERE parent_id = the_id AND ended_at IS NULL) THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT cancel_below(ARRAY[the_id], 'PARENT_ENDED'));
END $$;

CREATE OR REPLACE FUNCTION cancel_below(ended uuid[], why text)
RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    level uuid[] := ended;
BEGIN
    LOOP
        WITH doomed AS (
            SELECT id FROM instances
            WHERE parent_id = ANY(level) AND ended_at IS NULL
            ORDER BY id FOR UPDATE
        ), gone AS (
            UPDATE instances SET state = 'cancelled', reason = why, ended_at = now()
            FROM doomed WHERE instances.id = doomed.id
            RETURNING instances.id
        )
        SELECT array_agg(id) INTO level FROM gone;
        EXIT WHEN level IS NULL;
        RETURN QUERY SELECT unnest(level);
    END LOOP;
END $$;

DROP FUNCTION end_below(uuid[]);
DROP FUNCTION add_attempt(json, integer);
DROP FUNCTION take_retry(text, double precision, integer);
DROP TABLE retry_budgets;
ALTER TABLE limits DROP COLUMN paused;
DROP INDEX instances_live_retry_idx;
ALTER TABLE instances DROP COLUMN yield_attempt;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(RETRIES)
    op.execute(ATTEMPTS)
    op.execute(CASCADES)


def downgrade() -> None:
    op.execute(DOWN)
