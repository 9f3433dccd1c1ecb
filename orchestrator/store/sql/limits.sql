-- What operators have set. Rows are only ever added: the newest of a scope holds, and one without
-- a value takes back what was set before.

-- name: lock_limits
-- One after another, so that a version that is seen has all smaller ones before it.
LOCK TABLE limits IN SHARE ROW EXCLUSIVE MODE;

-- name: set_limit
-- A scope that is paused stays so.
INSERT INTO limits (scope, value, set_by, paused)
VALUES (%(scope)s, %(value)s, %(set_by)s, coalesce((
    SELECT paused FROM limits WHERE scope = %(scope)s ORDER BY version DESC LIMIT 1
), false))
RETURNING version;

-- name: pause_scope
-- What is set besides stands. No row comes back where nothing changes.
INSERT INTO limits (scope, value, set_by, paused)
SELECT %(scope)s, newest.value, %(set_by)s, %(paused)s
FROM (VALUES (1)) AS one
LEFT JOIN (
    SELECT value, paused FROM limits WHERE scope = %(scope)s ORDER BY version DESC LIMIT 1
) AS newest ON true
WHERE coalesce(newest.paused, false) <> %(paused)s
RETURNING version;

-- name: limits
SELECT scope, value, version, set_by, set_at, paused FROM (
    SELECT DISTINCT ON (scope) * FROM limits ORDER BY scope, version DESC
) AS newest
ORDER BY scope;

-- name: limits_version
SELECT coalesce(max(version), 0) AS version FROM limits;
