-- The statements of what an agent has done and goes on from: its journal, its waits.

-- name: journal
-- Children are the record of their spawns. One that began anew has other arguments by now.
SELECT position, kind, name, value, error FROM steps WHERE instance_id = %(id)s
UNION ALL
SELECT position, 'spawn', agent,
       json_build_object('id', id, 'args', CASE WHEN history = 0 THEN args END), NULL
FROM instances WHERE parent_id = %(id)s AND NOT superseded
ORDER BY position;

-- name: write_steps
-- Fenced: the lock on the row makes this and the begin of another attempt exclude each other.
WITH own AS (
    SELECT id FROM instances
    WHERE id = %(id)s AND state = 'running' AND attempt = %(attempt)s
    FOR SHARE
)
INSERT INTO steps (instance_id, position, kind, name, attempt, value, error)
SELECT own.id, entry.position, entry.kind, entry.name, %(attempt)s, entry.value, entry.error
FROM own, json_to_recordset(%(entries)s::json)
    AS entry (position integer, kind text, name text, value json, error json)
ON CONFLICT (instance_id, position)
DO UPDATE SET value = excluded.value, error = excluded.error, attempt = excluded.attempt
RETURNING position;

-- name: suspend
SELECT new_state, ended
FROM suspend_instance(%(id)s::uuid, %(attempt)s::int, %(why)s, %(wait)s::json, %(entries)s::json);

-- name: ready
-- Those that wait, or are held back, for nothing any more.
SELECT id FROM instances
WHERE id = ANY(%(ids)s::uuid[])
  AND ((state = 'waiting' AND wait IS NOT NULL AND is_wait_over(id, wait))
    OR (state = 'queued' AND attempt = 0 AND depends_on IS NOT NULL
        AND count_live(depends_on -> 'ids') = 0));

-- name: rewind
SELECT rewind_instance(%(id)s::uuid, %(position)s::int, %(children)s::uuid[]) AS ended;

-- name: begin_anew
-- The same instance with other arguments and an empty journal.
UPDATE instances
SET state = 'queued', reason = 'CONTINUED', args = %(args)s, history = history + 1
WHERE id = %(id)s AND state = 'running' AND attempt = %(attempt)s
RETURNING id;

-- name: checkpoint
SELECT version, value FROM checkpoints WHERE instance_id = %(id)s;

-- name: write_checkpoint
-- No row comes back when the attempt is not the newest, or has not seen the newest version.
WITH own AS (
    SELECT id FROM instances
    WHERE id = %(id)s AND state = 'running' AND attempt = %(attempt)s
    FOR SHARE
)
INSERT INTO checkpoints (instance_id, version, value)
SELECT id, 1, %(value)s::json FROM own
ON CONFLICT (instance_id)
DO UPDATE SET version = checkpoints.version + 1, value = excluded.value, at = now()
RETURNING version;
