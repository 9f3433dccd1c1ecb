"""What an agent needs to go on where it was: its journal, its waits, and how it hangs on others."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
-- wait: what a waiting instance waits for. depends_on: what has to end before it may start.
-- history: how often it began anew with an empty journal. superseded: a child of a part of its
-- parent's journal that was taken back. retry_of: the ended instance whose work this one repeats.
ALTER TABLE instances
    ADD COLUMN wait json,
    ADD COLUMN depends_on json,
    ADD COLUMN history integer NOT NULL DEFAULT 0,
    ADD COLUMN superseded boolean NOT NULL DEFAULT false,
    ADD COLUMN detached boolean NOT NULL DEFAULT false,
    ADD COLUMN on_parent_end text NOT NULL DEFAULT 'terminate',
    ADD COLUMN preemptible boolean NOT NULL DEFAULT true,
    ADD COLUMN progress json,
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN retry_of uuid CONSTRAINT instances_retry_of_fkey REFERENCES instances (id),
    ADD CONSTRAINT instances_on_parent_end_check
        CHECK (on_parent_end IN ('terminate', 'detach'));

DROP INDEX instances_position_idx;
ALTER TABLE instances DROP COLUMN is_void;
CREATE UNIQUE INDEX instances_position_idx
    ON instances (parent_id, position) WHERE NOT superseded AND parent_id IS NOT NULL;
CREATE INDEX instances_retry_of_idx ON instances (retry_of) WHERE retry_of IS NOT NULL;

-- The journal: what an instance has done, by its position among all that it has asked for. The
-- spawn of a child is recorded by the child's own row.
CREATE TABLE steps (
    instance_id uuid NOT NULL CONSTRAINT steps_instance_id_fkey REFERENCES instances (id),
    position integer NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    attempt integer NOT NULL,
    value json,
    error json,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT steps_pkey PRIMARY KEY (instance_id, position)
);

-- What an agent keeps for itself beside its journal.
CREATE TABLE checkpoints (
    instance_id uuid CONSTRAINT checkpoints_pkey PRIMARY KEY
        CONSTRAINT checkpoints_instance_id_fkey REFERENCES instances (id),
    version integer NOT NULL,
    value json NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
"""

# Each is one round trip. Every statement of a volatile function sees what was committed before
# it began, so what is looked at after a row was locked is not older than the lock.
FUNCTIONS = """
CREATE FUNCTION write_steps(the_id uuid, the_attempt integer, entries json)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO steps (instance_id, position, kind, name, attempt, value, error)
    SELECT the_id, entry.position, entry.kind, entry.name, the_attempt, entry.value, entry.error
    FROM json_to_recordset(entries)
        AS entry (position integer, kind text, name text, value json, error json)
    ON CONFLICT (instance_id, position)
    DO UPDATE SET value = excluded.value, error = excluded.error, attempt = excluded.attempt;
$$;

-- How many of these have not ended.
CREATE FUNCTION count_live(ids json) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM instances
    WHERE id IN (SELECT value::uuid FROM json_array_elements_text(ids)) AND ended_at IS NULL;
$$;

-- Whether what a waiting instance waits for is here, as far as PostgreSQL knows.
CREATE FUNCTION is_wait_over(the_id uuid, wait json) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF (wait ->> 'until')::timestamptz <= clock_timestamp() THEN
        RETURN true;
    END IF;
    IF wait ->> 'kind' = 'ended' THEN
        RETURN count_live(wait -> 'targets')
            <= json_array_length(wait -> 'targets') - (wait ->> 'needs')::integer;
    END IF;
    RETURN false;
END $$;

-- Answers the state it is in now, if the attempt is the newest, and which targets have ended.
CREATE FUNCTION suspend_instance(
    the_id uuid, the_attempt integer, why text, the_wait json, entries json,
    OUT new_state text, OUT ended uuid[]
) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE instances SET state = 'waiting', reason = why, wait = the_wait
    WHERE id = the_id AND state = 'running' AND attempt = the_attempt;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF entries IS NOT NULL THEN
        PERFORM write_steps(the_id, the_attempt, entries);
    END IF;
    new_state := 'waiting';
    ended := ARRAY(
        SELECT id FROM instances
        WHERE id IN (SELECT value::uuid FROM json_array_elements_text(the_wait -> 'targets'))
          AND ended_at IS NOT NULL);
    IF is_wait_over(the_id, the_wait) THEN
        UPDATE instances SET state = 'queued', reason = 'RESUMED' WHERE id = the_id;
        new_state := 'queued';
    END IF;
END $$;

-- An instance that waited is queued and begun in one step: in between, only the gate knew of it.
CREATE FUNCTION begin_instance(the_id uuid, the_attempt integer, the_worker text)
RETURNS SETOF instances LANGUAGE plpgsql AS $$
BEGIN
    UPDATE instances SET state = 'queued', reason = 'RESUMED'
    WHERE id = the_id AND state = 'waiting' AND wait IS NOT NULL AND attempt < the_attempt
      AND paused_at IS NULL;
    RETURN QUERY
    UPDATE instances
    SET state = 'running', attempt = the_attempt, worker = the_worker, reason = NULL, wait = NULL,
        not_before = NULL, started_at = coalesce(started_at, now())
    WHERE id = the_id AND state = 'queued' AND attempt < the_attempt AND paused_at IS NULL
    RETURNING *;
END $$;

-- Take back an instance's journal from a position on, and these of its children: the next attempt
-- does that part again. Answers what was live below and ended with it.
CREATE FUNCTION rewind_instance(the_id uuid, from_position integer, children uuid[])
RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[];
BEGIN
    DELETE FROM steps WHERE instance_id = the_id AND position >= from_position;
    WITH taken AS (
        UPDATE instances SET superseded = true
        WHERE parent_id = the_id AND NOT superseded
          AND (position >= from_position OR id = ANY(children))
        RETURNING id
    )
    SELECT coalesce(array_agg(id), '{}') INTO gone FROM taken;
    RETURN cancel_instances(gone, 'PARENT_ENDED', 'PARENT_ENDED');
END $$;
"""

DOWN = """
DROP FUNCTION rewind_instance(uuid, integer, uuid[]);
DROP FUNCTION begin_instance(uuid, integer, text);
DROP FUNCTION suspend_instance(uuid, integer, text, json, json);
DROP FUNCTION is_wait_over(uuid, json);
DROP FUNCTION count_live(json);
DROP FUNCTION write_steps(uuid, integer, json);
DROP TABLE checkpoints;
DROP TABLE steps;
DROP INDEX instances_position_idx;
ALTER TABLE instances
    DROP COLUMN wait, DROP COLUMN depends_on, DROP COLUMN history, DROP COLUMN superseded,
    DROP COLUMN detached, DROP COLUMN on_parent_end, DROP COLUMN preemptible,
    DROP COLUMN progress, DROP COLUMN paused_at, DROP COLUMN retry_of,
    ADD COLUMN is_void boolean
        GENERATED ALWAYS AS (state IN ('failed', 'cancelled')) STORED NOT NULL;
CREATE UNIQUE INDEX instances_position_idx
    ON instances (parent_id, position) WHERE NOT is_void AND parent_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(FUNCTIONS)


def downgrade() -> None:
    op.execute(DOWN)
