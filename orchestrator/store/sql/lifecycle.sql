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
    timeout_seconds, retry, idempotency_key, args, not_before, expires_at, cost, budget,
    depends_on, preemptible, retry_of, progress_timeout
) VALUES (
    %(id)s, %(agent)s, %(session)s, %(tenant)s, %(pool)s, %(priority)s, %(id)s, 0, 'queued',
    %(timeout_seconds)s, %(retry)s, %(idempotency_key)s, %(args)s, %(not_before)s,
    %(expires_at)s, %(cost)s, %(budget)s, %(depends_on)s, %(preemptible)s, %(retry_of)s,
    %(progress_timeout)s
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
    timeout_seconds, retry, idempotency_key, args, not_before, expires_at, cost, budget,
    depends_on, preemptible, retry_of, progress_timeout, detached, on_parent_end
)
SELECT
    %(id)s::uuid, %(agent)s, %(session)s, %(tenant)s, %(pool)s, %(priority)s, parent.id,
    %(root_id)s::uuid, %(depth)s, %(position)s, 'queued', %(timeout_seconds)s, %(retry)s::jsonb,
    %(idempotency_key)s, %(args)s::json, %(not_before)s::timestamptz,
    %(expires_at)s::timestamptz, %(cost)s::float8, %(budget)s::json, %(depends_on)s::json,
    %(preemptible)s, %(retry_of)s::uuid, %(progress_timeout)s::float8, %(detached)s,
    %(on_parent_end)s
FROM parent
ON CONFLICT DO NOTHING
RETURNING id;

-- name: announce
-- Delivered when the transaction commits, and not at all if it does not.
SELECT pg_notify(%(channel)s, %(id)s);

-- name: begin
-- Only a newer attempt than any before may begin, so a second delivery finds nothing. With the time,
-- so that nobody has to ask for it again.
SELECT begun.*, clock_timestamp() AS clock
FROM begin_instance(%(id)s::uuid, %(attempt)s::int, %(worker)s) AS begun;

-- name: settle
-- The fenced end of an instance, with everything live below it. NULL: the attempt is not the
-- newest, or has been ended by somebody else.
SELECT settle_instance(%(id)s::uuid, %(attempt)s::int, %(state)s, %(reason)s, %(result)s::json,
                       %(error)s::json, %(failed)s::int) AS below;

-- name: hand_back
-- The attempt ends, the instance goes on: after a failure, or because its worker stops.
UPDATE instances
SET state = 'queued', reason = %(reason)s, error = coalesce(%(error)s::json, error),
    failures = failures + %(failed)s, not_before = now() + %(delay)s * interval '1 second'
WHERE id = %(id)s AND state IN ('running', 'waiting') AND attempt = %(attempt)s
RETURNING id;

-- name: park
-- A thread of its worker stays with it while it waits.
UPDATE instances
SET state = 'waiting', reason = %(why)s
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
-- The lease of an attempt ran out. Where it never began, its message was lost: raising the attempt
-- makes sure that the lost message finds nothing should it turn up after all. One that was never handed
-- out, or is judged a second time, stays as it is. One that is suspended at this very attempt has not
-- failed: its worker died before it told the gate.
UPDATE instances
SET state = CASE WHEN fate.suspended THEN state WHEN fate.fails THEN 'failed' ELSE 'queued' END,
    reason = CASE WHEN fate.begun THEN 'LEASE_EXPIRED'
                  WHEN fate.lost THEN 'MESSAGE_LOST' ELSE reason END,
    failures = failures + fate.begun::int,
    error = CASE WHEN fate.begun THEN add_attempt(error, attempt) ELSE error END,
    ended_at = CASE WHEN fate.fails THEN now() END,
    attempt = greatest(attempt, %(attempt)s)
FROM (
    SELECT id AS one, suspended, begun, lost,
           begun AND failures + 1 >= (retry ->> 'max_attempts')::int AS fails
    FROM (
        SELECT id, failures, retry,
               state = 'waiting' AND wait IS NOT NULL AND attempt = %(attempt)s AS suspended,
               state = 'running' OR (state = 'waiting' AND wait IS NULL) AS begun,
           attempt < %(attempt)s AS lost
        FROM instances
        WHERE id = %(id)s AND ended_at IS NULL AND attempt <= %(attempt)s
        FOR UPDATE
    ) AS locked
) AS fate
WHERE id = fate.one
RETURNING instances.*;

-- name: cancel
-- These and everything live below them, level by level from the top.
SELECT cancel_instances(%(ids)s::uuid[], %(reason)s, %(below)s) AS ended;

-- name: note
-- An event that is no change of state: `kind` says what it is.
INSERT INTO events (instance_id, session, tenant, agent, from_state, to_state, reason, attempt,
                    worker, kind, detail)
SELECT id, session, tenant, agent, state, state, %(reason)s, attempt, worker, %(kind)s,
       %(detail)s::json
FROM instances WHERE id = %(id)s
RETURNING sequence;
