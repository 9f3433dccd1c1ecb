-- What operators have set. Rows are only ever added: the newest of a scope holds, and one without
-- a value takes back what was set before.

-- name: lock_limits
-- One after another, so that a version that is seen has all smaller ones before it.
LOCK TABLE limits IN SHARE ROW EXCLUSIVE MODE;

-- name: set_limit
INSERT INTO limits (scope, value, set_by) VALUES (%(scope)s, %(value)s, %(set_by)s)
RETURNING version;

-- name: limits
SELECT scope, value, version, set_by, set_at FROM (
    SELECT DISTINCT ON (scope) * FROM limits ORDER BY scope, version DESC
) AS newest
ORDER BY scope;

-- name: limits_version
SELECT coalesce(max(version), 0) AS version FROM limits;
