-- Declared resources, and the ledger of their calls.

-- name: save_resource
INSERT INTO resources (name, spec) VALUES (%(name)s, %(spec)s)
ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, updated_at = now()
WHERE resources.spec IS DISTINCT FROM excluded.spec;

-- name: resources
SELECT name, spec, forced FROM resources ORDER BY name;

-- name: force_breaker
-- What an operator has decided, by tenant; '' stands for all.
INSERT INTO resources (name, spec, forced)
VALUES (%(name)s, '{}', jsonb_build_object(%(tenant)s::text, %(mode)s::text))
ON CONFLICT (name) DO UPDATE SET forced = resources.forced || excluded.forced, updated_at = now();

-- name: free_breaker
UPDATE resources SET forced = forced - %(tenant)s::text, updated_at = now()
WHERE name = %(name)s;

-- name: record_call
INSERT INTO calls (id, resource, tenant, session, instance_id, attempt, agent, budget_id, outcome,
                   requests, input_tokens, output_tokens, usd, started_at, ended_at)
VALUES (%(id)s, %(resource)s, %(tenant)s, %(session)s, %(instance_id)s, %(attempt)s, %(agent)s,
        %(budget_id)s, %(outcome)s, %(requests)s, %(input_tokens)s, %(output_tokens)s, %(usd)s,
        %(started_at)s, %(ended_at)s)
ON CONFLICT DO NOTHING;

-- name: calls_of
SELECT * FROM calls WHERE instance_id = %(instance_id)s ORDER BY started_at, id;

-- name: has_history
SELECT EXISTS (SELECT FROM instances) OR EXISTS (SELECT FROM calls) AS found;
