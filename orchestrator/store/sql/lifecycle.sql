-- The statements that change the state of an instance. A trigger writes the audit event of
-- each change within the same statement, and refuses transitions the lifecycle does not have.

-- name: record_root
-- A spawn from outside. No row comes back when the idempotency key is taken.
WITH opened AS (
    INSERT INTO sessions (id, tenant)
    SELECT %(session)s, %(tenant)s
    -- A spawn that is a repetition opens no session.
    WHERE NOT EXISTS (
        SELECT FROM instances
        WHERE tenant = %(tenant)s AND idempotency_key = %(idempotency_key)s
    )
    ON CONFLICT (id) DO NOTHING
)
INSERT INTO instances (
    id, agent, session, tenant, pool, priority, root_id, depth, state,
    timeout_seconds, retry, idempotency_key, args, not_before, expires_at, cost, budget
) VALUES (
    %(id)s, %(agent)s, %(session)s, %(tenant)s, %(pool)s, %(priority)s, %(id)s, 0, 'queued',
    %(timeout_seconds)s, %(retry)s, %(idempotency_key)s, %(args)s, %(not_before)s,
    %(expires_at)s, %(cost)s, %(budget)s
)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: record_child
-- A spawn by a running attempt. The lock on the parent's row makes this and the parent's end
-- exclude each other: a child is either seen by the one who ends the parent, or never made.
WITH parent AS (
    SELECT id FROM instances
    WHERE id = %(parent_id)s AND state = 'running' AND attempt = %(parent_attempt)s
    FOR SHARE
)
INSERT INTO instances (
    id, agent, session, tenant, pool, priority, parent_id, root_id, depth, position, state,
    timeout_seconds, retry, idempotency_key, args, not_before, expires_at, cost, budget
)
SELECT
    %(id)s::uuid, %(agent)s, %(session)s, %(tenant)s, %(pool)s, %(priority)s, parent.id,
    %(root_id)s::uuid, %(depth)s, %(position)s, 'queued', %(timeout_seconds)s, %(retry)s::jsonb,
    %(idempotency_key)s, %(args)s::json, %(not_before)s::timestamptz,
    %(expires_at)s::timestamptz, %(cost)s::float8, %(budget)s::json
FROM parent
ON CONFLICT DO NOTHING
RETURNING id;

-- name: announce
-- Delivered when the transaction commits, and not at all if it does not.
SELECT pg_notify(%(channel)s, %(id)s);

-- name: begin
-- Only a newer attempt than any before may begin, so a second delivery finds nothing.
UPDATE instances
SET state = 'running', attempt = %(attempt)s, worker = %(worker)s, reason = NULL,
    not_before = NULL, started_at = coalesce(started_at, now())
WHERE id = %(id)s AND state = 'queued' AND attempt < %(attempt)s
RETURNING *;

-- name: settle
-- The fenced end of an instance, with everything live below it. NULL: the attempt is not the
-- newest, or has been ended by somebody else.
SELECT settle_instance(%(id)s::uuid, %(attempt)s::int, %(state)s, %(reason)s, %(result)s::json,
                       %(error)s::json, %(failed)s::int) AS below;

-- name: hand_back
-- The attempt ends, the instance goes on: after a failure, or because its worker stops.
UPDATE instances
SET state = 'queued', reason = %(reason)s, error = %(error)s,
    failures = failures + %(failed)s, not_before = now() + %(delay)s * interval '1 second'
WHERE id = %(id)s AND state IN ('running', 'waiting') AND attempt = %(attempt)s
RETURNING id;

-- name: suspend
UPDATE instances
SET state = 'waiting', reason = coalesce(%(why)s, 'WAITING_FOR_CHILDREN')
WHERE id = %(id)s AND state = 'running' AND attempt = %(attempt)s
RETURNING id;

-- name: resume
UPDATE instances
SET state = 'queued', reason = 'RESUMED'
WHERE id = %(id)s AND state = 'waiting' AND attempt = %(attempt)s
RETURNING id;

-- name: end_waiting
-- It was never handed out, and has waited for longer than it was to.
UPDATE instances
SET state = 'failed', reason = 'QUEUE_TIMEOUT', error = %(error)s, ended_at = now()
WHERE id = %(id)s AND state = 'queued' AND attempt = 0
RETURNING id;

-- name: expire
-- The lease of an attempt ran out. A queued row means that its message was lost: raising its
-- attempt makes sure the lost message finds nothing should it turn up after all.
UPDATE instances
SET state = CASE WHEN state <> 'queued' AND failures + 1 >= (retry ->> 'max_attempts')::int
                 THEN 'failed' ELSE 'queued' END,
    reason = CASE WHEN state = 'queued' THEN 'MESSAGE_LOST' ELSE 'LEASE_EXPIRED' END,
    failures = failures + CASE WHEN state = 'queued' THEN 0 ELSE 1 END,
    ended_at = CASE WHEN state <> 'queued' AND failures + 1 >= (retry ->> 'max_attempts')::int
                    THEN now() END,
    attempt = greatest(attempt, %(attempt)s)
WHERE id = %(id)s AND state IN ('queued', 'running', 'waiting') AND attempt <= %(attempt)s
RETURNING *;

-- name: cancel
-- These and everything live below them, level by level from the top.
SELECT cancel_instances(%(ids)s::uuid[], %(reason)s, %(below)s) AS ended;

-- name: cancel_below
SELECT cancel_below(%(ids)s::uuid[], 'PARENT_ENDED') AS id;

-- name: note
-- An event that is no change of state: `kind` says what it is.
INSERT INTO events (instance_id, session, tenant, agent, from_state, to_state, reason, attempt,
                    worker, kind, detail)
SELECT id, session, tenant, agent, state, state, %(reason)s, attempt, worker, %(kind)s,
       %(detail)s::json
FROM instances WHERE id = %(id)s
RETURNING sequence;
