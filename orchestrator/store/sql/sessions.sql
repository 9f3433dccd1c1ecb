-- Sessions, and what their agents share: rows are only ever added, the newest of a key holds.

-- name: set_shared
SELECT * FROM set_shared(
    %(session)s, %(tenant)s, %(key)s, %(value)s::json, %(expected)s::bigint, %(writer)s::uuid,
    %(attempt)s::int, %(operation)s::json, %(others)s::json
);

-- name: roll_back_shared
SELECT * FROM roll_back_shared(
    %(session)s, %(tenant)s, %(version)s::bigint, %(writer)s::uuid, %(attempt)s::int,
    %(operation)s::json, %(others)s::json
);

-- name: shared_version
SELECT shared_version(%(session)s) AS version;

-- name: shared_newest
SELECT *, value IS NULL AS is_deleted FROM shared_values
WHERE session = %(session)s AND key = %(key)s
ORDER BY version DESC LIMIT 1;

-- name: shared_history
SELECT *, value IS NULL AS is_deleted FROM shared_values
WHERE session = %(session)s AND key = %(key)s
ORDER BY version;

-- name: shared_at
-- Without a version: as all is now.
SELECT *, false AS is_deleted FROM shared_at(
    %(session)s, coalesce(%(version)s::bigint, shared_version(%(session)s))
)
WHERE value IS NOT NULL
ORDER BY key;
