-- Budgets of trees: what the gate must know of them again after Redis was emptied.

-- name: set_budget
-- Opens the session if there is none yet. No row comes back when it is another tenant's.
WITH opened AS (
    INSERT INTO sessions (id, tenant) VALUES (%(session)s, %(tenant)s)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), ours AS (
    SELECT id FROM opened
    UNION ALL
    SELECT id FROM sessions WHERE id = %(session)s AND tenant = %(tenant)s
)
INSERT INTO budgets (session, tenant, spec)
SELECT id, %(tenant)s, %(spec)s::json FROM ours
ON CONFLICT (session) DO UPDATE
SET spec = excluded.spec, version = budgets.version + 1, exhausted = NULL, updated_at = now()
RETURNING version;

-- name: budgeted_sessions
-- Sessions in which some budget holds, in the order of their names.
SELECT session, tenant FROM (
    SELECT session, tenant FROM budgets WHERE session > %(after)s
    UNION
    SELECT session, tenant FROM instances
    WHERE budget IS NOT NULL AND ended_at IS NULL AND session > %(after)s
) AS found
ORDER BY session
LIMIT %(limit)s;

-- name: budget_versions
SELECT session, tenant, version FROM budgets
WHERE session > %(after)s ORDER BY session LIMIT %(limit)s;

-- name: budget_accounts
-- All that holds in these sessions, as one statement sees it. `path` are the accounts that an
-- instance stands under, nearest first; a budget holds while its instance is live. What was
-- used is charged to the nearest that bounds it (`tokens_at`, ...), a spawn to one above itself.
WITH RECURSIVE held AS (
    SELECT sessions.id AS session, sessions.tenant,
           's ' || octet_length(sessions.tenant) || ' ' || sessions.tenant || sessions.id AS account,
           budgets.spec, budgets.version, budgets.exhausted
    FROM sessions LEFT JOIN budgets ON budgets.session = sessions.id
    WHERE sessions.id = ANY(%(sessions)s)
), tree AS (
    SELECT top.id, top.session, top.ended_at IS NULL AS is_live, top.depth, own.spec,
           own.account || CASE WHEN held.spec IS NULL THEN '{}' ELSE ARRAY[held.account] END
               AS path,
           CASE WHEN held.spec ->> 'spawns' IS NOT NULL THEN held.account END AS paid_at,
           CASE WHEN own.spec ->> 'tokens' IS NOT NULL THEN own.account[1]
                WHEN held.spec ->> 'tokens' IS NOT NULL THEN held.account END AS tokens_at,
           CASE WHEN own.spec ->> 'usd' IS NOT NULL THEN own.account[1]
                WHEN held.spec ->> 'usd' IS NOT NULL THEN held.account END AS usd_at,
           CASE WHEN own.spec ->> 'spawns' IS NOT NULL THEN own.account[1]
                WHEN held.spec ->> 'spawns' IS NOT NULL THEN held.account END AS spawns_at
    FROM held
    JOIN instances top ON top.session = held.session AND top.parent_id IS NULL
    CROSS JOIN LATERAL (
        SELECT CASE WHEN top.ended_at IS NULL THEN top.budget END AS spec,
               CASE WHEN top.ended_at IS NULL AND top.budget IS NOT NULL
                    THEN ARRAY['i ' || top.id] ELSE '{}'::text[] END AS account
    ) own
    UNION ALL
    SELECT child.id, child.session, child.ended_at IS NULL, child.depth, own.spec,
           own.account || tree.path,
           tree.spawns_at,
           CASE WHEN own.spec ->> 'tokens' IS NOT NULL THEN own.account[1] ELSE tree.tokens_at END,
           CASE WHEN own.spec ->> 'usd' IS NOT NULL THEN own.account[1] ELSE tree.usd_at END,
           CASE WHEN own.spec ->> 'spawns' IS NOT NULL THEN own.account[1] ELSE tree.spawns_at END
    FROM tree
    JOIN instances child ON child.parent_id = tree.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN child.ended_at IS NULL THEN child.budget END AS spec,
               CASE WHEN child.ended_at IS NULL AND child.budget IS NOT NULL
                    THEN ARRAY['i ' || child.id] ELSE '{}'::text[] END AS account
    ) own
), used AS (
    SELECT tokens_at AS account, 'tokens' AS quantity,
           sum(round(calls.input_tokens + calls.output_tokens)::bigint) AS units
    FROM tree JOIN calls ON calls.instance_id = tree.id
    WHERE tokens_at IS NOT NULL GROUP BY 1
    UNION ALL
    SELECT usd_at, 'usd', sum(round(calls.usd * 1e9)::bigint)
    FROM tree JOIN calls ON calls.instance_id = tree.id
    WHERE usd_at IS NOT NULL GROUP BY 1
    UNION ALL
    SELECT paid_at, 'spawns', count(*) FROM tree WHERE paid_at IS NOT NULL GROUP BY 1
), told AS (
    SELECT account, version, json_object_agg(quantity, percent) AS percents
    FROM (
        SELECT account, version, quantity, max(percent) AS percent
        FROM budget_alerts
        WHERE account IN (SELECT account FROM held) OR account IN (SELECT path[1] FROM tree)
        GROUP BY account, version, quantity
    ) AS most
    GROUP BY account, version
), accounts AS (
    SELECT account, session, NULL::uuid AS owner, 0 AS base, spec, version, exhausted,
           '{}'::text[] AS above
    FROM held WHERE spec IS NOT NULL
    UNION ALL
    SELECT path[1], session, id, depth, spec, 1, NULL, path[2:]
    FROM tree WHERE spec IS NOT NULL
)
SELECT accounts.account, accounts.session, held.tenant, accounts.owner, accounts.base,
       accounts.spec, accounts.version, accounts.exhausted, accounts.above, told.percents AS told,
       held.account AS session_account,
       (SELECT json_object_agg(quantity, units) FROM used
        WHERE used.account = accounts.account) AS used,
       ARRAY(SELECT CASE WHEN path[1] = accounts.account THEN '=' ELSE '-' END || tree.id
             FROM tree
             WHERE is_live AND accounts.account = ANY(path) ORDER BY tree.id) AS live
FROM accounts
JOIN held ON held.session = accounts.session
LEFT JOIN told ON told.account = accounts.account AND told.version = accounts.version
ORDER BY cardinality(accounts.above), accounts.account;

-- name: fail_for_budget
-- These end for want of a budget. Together with `cancel_below`, in one transaction.
WITH doomed AS (
    SELECT id FROM instances
    WHERE id = ANY(%(ids)s::uuid[]) AND ended_at IS NULL
    ORDER BY id FOR UPDATE
)
UPDATE instances
SET state = 'failed', reason = 'BUDGET_EXCEEDED', error = %(error)s, ended_at = now()
FROM doomed WHERE instances.id = doomed.id
RETURNING instances.id;

-- name: live_roots
SELECT id FROM instances
WHERE session = %(session)s AND tenant = %(tenant)s AND parent_id IS NULL AND ended_at IS NULL
ORDER BY id LIMIT %(limit)s;

-- name: exhaust_budget
UPDATE budgets SET exhausted = %(quantity)s WHERE session = %(session)s AND tenant = %(tenant)s;

-- name: first_of_session
SELECT id FROM instances WHERE session = %(session)s AND tenant = %(tenant)s ORDER BY id LIMIT 1;

-- name: claim_alert
-- A row comes back for the one who is to tell of it.
INSERT INTO budget_alerts (account, version, quantity, percent)
VALUES (%(account)s, %(version)s, %(quantity)s, %(percent)s)
ON CONFLICT DO NOTHING
RETURNING account;

-- name: cancel_for_budget
SELECT cancel_below(%(ids)s::uuid[], 'BUDGET_EXCEEDED') AS id;
