"""Sessions, agents, instances, and the audit trail that a trigger writes."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE sessions (
    id text CONSTRAINT sessions_pkey PRIMARY KEY,
    tenant text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sessions_id_tenant_key UNIQUE (id, tenant)
);

CREATE TABLE agents (
    name text CONSTRAINT agents_pkey PRIMARY KEY,
    spec jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE instances (
    id uuid CONSTRAINT instances_pkey PRIMARY KEY,
    agent text NOT NULL,
    session text NOT NULL,
    tenant text NOT NULL,
    pool text NOT NULL,
    priority smallint NOT NULL,
    parent_id uuid CONSTRAINT instances_parent_id_fkey REFERENCES instances (id),
    root_id uuid NOT NULL,
    depth smallint NOT NULL,
    position integer,
    state text NOT NULL,
    -- An index depends on this column and none on `state`: most updates need no index entry.
    is_void boolean GENERATED ALWAYS AS (state IN ('failed', 'cancelled')) STORED NOT NULL,
    reason text,
    attempt integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    timeout_seconds double precision NOT NULL,
    retry jsonb NOT NULL,
    not_before timestamptz,
    idempotency_key text,
    -- json, not jsonb: a value comes back exactly as it was given.
    args json NOT NULL,
    result json,
    error json,
    worker text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT instances_session_fkey
        FOREIGN KEY (session, tenant) REFERENCES sessions (id, tenant),
    CONSTRAINT instances_state_check CHECK (
        state IN ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled')),
    CONSTRAINT instances_ended_check CHECK (
        (state IN ('completed', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CONSTRAINT instances_begun_check CHECK (state <> 'running' OR attempt > 0),
    CONSTRAINT instances_priority_check CHECK (priority BETWEEN 0 AND 4),
    CONSTRAINT instances_depth_check CHECK ((parent_id IS NULL) = (depth = 0)),
    CONSTRAINT instances_position_check CHECK ((parent_id IS NULL) = (position IS NULL)),
    CONSTRAINT instances_failures_check CHECK (failures BETWEEN 0 AND attempt)
)
-- Rows are updated two to four times: with room in its page, a begin touches no index.
WITH (fillfactor = 70);

CREATE INDEX instances_session_idx ON instances (session, id);
CREATE INDEX instances_parent_id_idx ON instances (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX instances_live_idx ON instances (id) WHERE ended_at IS NULL;
CREATE INDEX instances_live_children_idx
    ON instances (parent_id) WHERE ended_at IS NULL AND parent_id IS NOT NULL;
CREATE UNIQUE INDEX instances_idempotency_key_idx
    ON instances (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX instances_position_idx
    ON instances (parent_id, position) WHERE NOT is_void AND parent_id IS NOT NULL;

CREATE TABLE events (
    sequence bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT events_pkey PRIMARY KEY,
    instance_id uuid NOT NULL,
    session text NOT NULL,
    tenant text NOT NULL,
    agent text NOT NULL,
    from_state text,
    to_state text NOT NULL,
    reason text,
    attempt integer NOT NULL,
    worker text,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX events_instance_id_idx ON events (instance_id, sequence);
"""

# One place writes the audit trail, so that no statement can forget it: each insert and each
# change of state or attempt is exactly one event of the same transaction.
AUDIT = """
CREATE FUNCTION audit_spawned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'queued' THEN
        RAISE EXCEPTION 'an instance begins its life queued'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'instances_transition_check';
    END IF;
    INSERT INTO events (instance_id, session, tenant, agent, to_state, reason, attempt, worker)
    VALUES (NEW.id, NEW.session, NEW.tenant, NEW.agent, NEW.state, NEW.reason, NEW.attempt,
            NEW.worker);
    RETURN NULL;
END $$;

CREATE TRIGGER audit_spawned AFTER INSERT ON instances
    FOR EACH ROW EXECUTE FUNCTION audit_spawned();

CREATE FUNCTION audit_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt THEN
        INSERT INTO events (instance_id, session, tenant, agent, from_state, to_state, reason,
                            attempt, worker)
        VALUES (NEW.id, NEW.session, NEW.tenant, NEW.agent, OLD.state, NEW.state, NEW.reason,
                NEW.attempt, NEW.worker);
    END IF;
    RETURN NULL;
END $$;

-- Conditions stand in the functions, whose plans are kept: PostgreSQL parses the stored text of a
-- trigger's WHEN for every statement.
CREATE TRIGGER audit_changed AFTER UPDATE ON instances
    FOR EACH ROW EXECUTE FUNCTION audit_changed();

CREATE FUNCTION guard_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'failed'),
        ('running', 'completed'), ('running', 'failed'), ('running', 'cancelled'),
        ('running', 'waiting'), ('running', 'queued'),
        ('waiting', 'queued'), ('waiting', 'failed'), ('waiting', 'cancelled'))
    THEN
        RAISE EXCEPTION 'an instance cannot go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'instances_transition_check';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guard_transition BEFORE UPDATE ON instances
    FOR EACH ROW EXECUTE FUNCTION guard_transition();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

# Ends of instances, each one call and so one round trip. Every statement of a volatile function
# sees what was committed before it began: a cascade sees each child whose record was committed
# before the parents were locked, and none can be recorded after.
ENDS = """
CREATE FUNCTION cancel_below(ended uuid[], why text) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
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

CREATE FUNCTION cancel_instances(ids uuid[], why text, why_below text)
RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    tops uuid[];
BEGIN
    WITH doomed AS (
        SELECT id FROM instances
        WHERE id = ANY(ids) AND ended_at IS NULL
        ORDER BY id FOR UPDATE
    ), gone AS (
        UPDATE instances SET state = 'cancelled', reason = why, ended_at = now()
        FROM doomed WHERE instances.id = doomed.id
        RETURNING instances.id
    )
    SELECT coalesce(array_agg(id), '{}') INTO tops FROM gone;
    RETURN tops || ARRAY(SELECT cancel_below(tops, why_below));
END $$;

CREATE FUNCTION settle_instance(
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
"""

DOWN = """
DROP TABLE events;
DROP TABLE instances;
DROP TABLE agents;
DROP TABLE sessions;
DROP FUNCTION audit_spawned();
DROP FUNCTION audit_changed();
DROP FUNCTION guard_transition();
DROP FUNCTION refuse_change();
DROP FUNCTION settle_instance(uuid, integer, text, text, json, json, integer);
DROP FUNCTION cancel_instances(uuid[], text, text);
DROP FUNCTION cancel_below(uuid[], text);
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(AUDIT)
    op.execute(ENDS)


def downgrade() -> None:
    op.execute(DOWN)
