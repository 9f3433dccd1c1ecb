-- The statements of operators: pause, stop, run again; and what agents tell of their progress.

-- name: pause_instance
-- With its event. No row comes back for one that has ended, or is paused already.
WITH own AS (
    UPDATE instances SET paused_at = clock_timestamp()
    WHERE id = %(id)s AND ended_at IS NULL AND paused_at IS NULL
    RETURNING *
)
INSERT INTO events (instance_id, session, tenant, agent, from_state, to_state, attempt, worker,
                    kind, detail)
SELECT id, session, tenant, agent, state, state, attempt, worker, 'paused', %(detail)s::json
FROM own
RETURNING instance_id;

-- name: resume_instance
WITH own AS (
    UPDATE instances SET paused_at = NULL
    WHERE id = %(id)s AND ended_at IS NULL AND paused_at IS NOT NULL
    RETURNING *
)
INSERT INTO events (instance_id, session, tenant, agent, from_state, to_state, attempt, worker,
                    kind, detail)
SELECT id, session, tenant, agent, state, state, attempt, worker, 'resumed', %(detail)s::json
FROM own
RETURNING instance_id;

-- name: ask_to_yield
-- The attempts that run now in a session, of an agent, ... are to go back in line.
WITH own AS (
    SELECT id FROM instances
    WHERE state = 'running' AND ended_at IS NULL
      AND (%(session)s::text IS NULL OR session = %(session)s)
      AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
      AND (%(agent)s::text IS NULL OR agent = %(agent)s)
      AND (%(pool)s::text IS NULL OR pool = %(pool)s)
    ORDER BY id FOR UPDATE
)
UPDATE instances SET yield_attempt = attempt FROM own WHERE instances.id = own.id
RETURNING instances.id;

-- name: paused_among
SELECT id FROM instances
WHERE id = ANY(%(ids)s::uuid[]) AND ended_at IS NULL AND paused_at IS NOT NULL;

-- name: tenant_of_session
SELECT tenant FROM sessions WHERE id = %(session)s;

-- name: end_below
SELECT end_below(%(ids)s::uuid[]) AS id;

-- name: cancelled_tree
-- An instance and all below it, oldest first; of those that were cancelled, the state before.
WITH RECURSIVE tree AS (
    SELECT id, parent_id, agent, state FROM instances WHERE id = %(id)s
    UNION ALL
    SELECT child.id, child.parent_id, child.agent, child.state
    FROM instances child JOIN tree ON child.parent_id = tree.id
)
SELECT tree.*, CASE WHEN state = 'cancelled' THEN (
    SELECT from_state FROM events
    WHERE instance_id = tree.id AND kind = 'state' AND to_state = 'cancelled'
    ORDER BY sequence DESC LIMIT 1
) END AS before
FROM tree ORDER BY id;

-- name: stops
-- How the attempts of these that were told to stop have left.
SELECT DISTINCT ON (instance_id) instance_id, detail ->> 'how' AS how
FROM events
WHERE instance_id = ANY(%(ids)s::uuid[]) AND kind = 'stopped'
ORDER BY instance_id, sequence DESC;

-- name: write_progress
-- Fenced, of several running attempts at once.
UPDATE instances SET progress = told.progress
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(told)s::json[])
    AS told (id, attempt, progress)
WHERE instances.id = told.id AND instances.attempt = told.attempt
  AND instances.state = 'running';

-- name: take_retry
-- An attempt that was fenced out will not be followed by another, so it takes nothing.
SELECT CASE WHEN attempt = %(attempt)s AND state IN ('running', 'waiting')
            THEN take_retry(session, %(ratio)s::float8, %(floor)s::int) ELSE true END AS allowed
FROM instances WHERE id = %(id)s;

-- name: dead
-- Failed, and nobody does the work instead: no retry of it is under way or has completed.
SELECT * FROM instances dead
WHERE state = 'failed' AND NOT superseded
  AND (%(session)s::text IS NULL OR session = %(session)s)
  AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(agent)s::text IS NULL OR agent = %(agent)s)
  AND NOT EXISTS (
    SELECT FROM instances again
    WHERE again.retry_of = coalesce(dead.retry_of, dead.id) AND again.id > dead.id
      AND (again.ended_at IS NULL OR again.state = 'completed')
  )
ORDER BY id DESC
LIMIT %(limit)s;

-- name: live_retry
-- The instance that does the work of an ended one again now.
SELECT * FROM instances WHERE retry_of = %(origin)s AND ended_at IS NULL;

-- name: inherit_history
UPDATE instances SET history = old.history FROM instances old
WHERE instances.id = %(id)s AND old.id = %(old)s;

-- name: inherit_journal
-- What the old one has done before the position where it failed, but for the children that failed
-- there. One that was stopped with its parent has done nothing that counts.
INSERT INTO steps (instance_id, position, kind, name, attempt, value, error, at)
SELECT %(id)s::uuid, position, kind, name, 0, value, error, at
FROM steps WHERE instance_id = %(old)s AND position < %(position)s
UNION ALL
SELECT %(id)s::uuid, position, 'spawn', agent, 0,
       json_build_object('id', id, 'args', args), NULL, created_at
FROM instances
WHERE parent_id = %(old)s AND NOT superseded AND position < %(position)s
  AND id <> ALL (%(without)s::uuid[])
  AND (detached OR ended_at IS NOT NULL)
  AND (state, reason) IS DISTINCT FROM ('cancelled', 'PARENT_ENDED');

-- name: inherit_checkpoint
INSERT INTO checkpoints (instance_id, version, value)
SELECT %(id)s::uuid, version, value FROM checkpoints WHERE instance_id = %(old)s;
