-- The statements that only read, and the catalogue of agents.

-- name: get
SELECT * FROM instances WHERE id = %(id)s;

-- name: get_many
SELECT * FROM instances WHERE id = ANY(%(ids)s::uuid[]);

-- name: standing
-- As little as a fenced-out attempt or a waiting one needs to know.
SELECT id, state, attempt, paused_at IS NOT NULL AS is_paused,
       state = 'running' AND (paused_at IS NOT NULL OR yield_attempt IS NOT DISTINCT FROM attempt)
           AS yields
FROM instances WHERE id = ANY(%(ids)s::uuid[]);

-- name: find_by_key
SELECT * FROM instances WHERE tenant = %(tenant)s AND idempotency_key = %(idempotency_key)s;

-- name: find_by_position
SELECT * FROM instances
WHERE parent_id = %(parent_id)s AND position = %(position)s
  AND NOT superseded;

-- name: list
SELECT * FROM instances
WHERE (%(session)s::text IS NULL OR session = %(session)s)
  AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(agent)s::text IS NULL OR agent = %(agent)s)
ORDER BY id DESC
LIMIT %(limit)s;

-- name: session_members
SELECT * FROM instances WHERE session = %(session)s ORDER BY id;

-- name: subtree
WITH RECURSIVE tree AS (
    SELECT instances.* FROM instances WHERE id = %(id)s
    UNION ALL
    SELECT child.* FROM instances child JOIN tree ON child.parent_id = tree.id
)
SELECT * FROM tree ORDER BY id;

-- name: events
SELECT * FROM events WHERE instance_id = %(id)s ORDER BY sequence;

-- name: oldest_ready
-- Of those that were never begun: whoever comes back to the line goes ahead of them.
SELECT pool, extract(epoch FROM clock_timestamp() - min(coalesce(not_before, created_at)))::float8
    AS seconds
FROM instances
WHERE ended_at IS NULL AND state = 'queued' AND attempt = 0 AND paused_at IS NULL
  AND depends_on IS NULL AND coalesce(not_before, created_at) <= clock_timestamp()
GROUP BY pool;

-- name: notes
-- The newest events of a kind that are no change of state.
SELECT * FROM events WHERE kind = %(kind)s ORDER BY sequence DESC LIMIT %(limit)s;

-- name: live_page
-- Live instances in the order of their ids, for a full walk in pages.
SELECT * FROM instances
WHERE ended_at IS NULL AND id > %(after)s
ORDER BY id
LIMIT %(limit)s;

-- name: orphans
-- Live instances whose parent has ended: the tops of the subtrees to be ended. Those that it left
-- behind on purpose are none.
SELECT child.id
FROM instances child JOIN instances parent ON parent.id = child.parent_id
WHERE child.ended_at IS NULL AND parent.ended_at IS NOT NULL AND NOT child.detached
  AND (child.on_parent_end = 'terminate' OR parent.state = 'cancelled')
ORDER BY child.id
LIMIT %(limit)s;

-- name: count_by_state
SELECT state, count(*) AS instances FROM instances
WHERE (%(session)s::text IS NULL OR session = %(session)s)
GROUP BY state;

-- name: save_agent
INSERT INTO agents (name, spec) VALUES (%(name)s, %(spec)s)
ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, updated_at = now()
WHERE agents.spec IS DISTINCT FROM excluded.spec;

-- name: agents
SELECT name, spec FROM agents ORDER BY name;

-- name: clock
SELECT clock_timestamp() AS now;

-- name: server
SELECT current_setting('server_version') AS version,
       current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit;
