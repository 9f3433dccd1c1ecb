-- Keys of payloads, and what is left when they are gone.

-- name: current_key
SELECT * FROM payload_keys
WHERE tenant = %(tenant)s AND session = %(session)s AND wrapped IS NOT NULL;

-- name: key
SELECT * FROM payload_keys WHERE id = %(id)s;

-- name: add_key
INSERT INTO payload_keys (id, tenant, session, wrapped, wrapped_by)
VALUES (%(id)s, %(tenant)s, %(session)s, %(wrapped)s, %(wrapped_by)s)
ON CONFLICT (tenant, session) WHERE wrapped IS NOT NULL DO NOTHING;

-- name: tenant_keys
-- Those that another master key wraps.
SELECT * FROM payload_keys
WHERE session = '' AND wrapped IS NOT NULL AND wrapped_by <> %(wrapped_by)s;

-- name: rewrap_key
UPDATE payload_keys SET wrapped = %(wrapped)s, wrapped_by = %(wrapped_by)s
WHERE id = %(id)s AND wrapped IS NOT NULL;

-- name: owner
SELECT tenant, session FROM instances WHERE id = %(id)s;

-- name: live_in
SELECT count(*) AS live FROM instances
WHERE tenant = %(tenant)s AND (%(session)s::text IS NULL OR session = %(session)s)
  AND ended_at IS NULL;

-- name: erase_keys
UPDATE payload_keys SET wrapped = NULL, erased_at = now()
WHERE tenant = %(tenant)s AND (%(session)s::text IS NULL OR session = %(session)s)
  AND wrapped IS NOT NULL;

-- name: note_erasure
-- One event a session, at its oldest instance.
INSERT INTO events (instance_id, session, tenant, agent, from_state, to_state, attempt, worker,
                    kind, detail)
SELECT DISTINCT ON (session) id, session, tenant, agent, state, state, attempt, worker, 'erased',
       %(detail)s::json
FROM instances
WHERE tenant = %(tenant)s AND (%(session)s::text IS NULL OR session = %(session)s)
ORDER BY session, id;

-- name: erase_instances
-- What was never encrypted is overwritten.
UPDATE instances
SET args = %(erased)s, result = CASE WHEN result IS NOT NULL THEN %(erased)s::json END,
    error = CASE WHEN error IS NOT NULL THEN json_build_object('type', error ->> 'type',
                                                               'message', 'erased') END,
    progress = NULL
WHERE tenant = %(tenant)s AND (%(session)s::text IS NULL OR session = %(session)s);

-- name: erase_steps
UPDATE steps SET value = CASE WHEN value IS NOT NULL THEN %(erased)s::json END, error = NULL
WHERE instance_id IN (
    SELECT id FROM instances
    WHERE tenant = %(tenant)s AND (%(session)s::text IS NULL OR session = %(session)s));

-- name: erase_checkpoints
UPDATE checkpoints SET value = %(erased)s::json
WHERE instance_id IN (
    SELECT id FROM instances
    WHERE tenant = %(tenant)s AND (%(session)s::text IS NULL OR session = %(session)s));

-- name: erase_messages
UPDATE messages SET body = %(erased)s::json
WHERE tenant = %(tenant)s AND (%(session)s::text IS NULL OR session = %(session)s);

-- name: erase_shared
UPDATE shared_values SET value = %(erased)s::json
WHERE value IS NOT NULL AND session IN (
    SELECT id FROM sessions
    WHERE tenant = %(tenant)s AND (%(session)s::text IS NULL OR id = %(session)s));
