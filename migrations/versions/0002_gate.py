"""What the gate decides by and must know again after Redis was emptied."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

UP = """
-- cost: declared by the spawn, in the unit of the fair queue. expires_at: queued that long, it
-- fails. budget: what this instance and everything below it may use.
ALTER TABLE instances
    ADD COLUMN cost double precision,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN budget json,
    ADD CONSTRAINT instances_cost_check CHECK (cost > 0);

-- An event that is no change of state says in `kind` what it is, and in `detail` the rest.
ALTER TABLE events
    ADD COLUMN kind text NOT NULL DEFAULT 'state',
    ADD COLUMN detail json;

-- What operators have set at run time, each change a row: the newest of a scope holds, and one
-- without a value takes back what was set before. A scope without a row has what is configured.
CREATE TABLE limits (
    version bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT limits_pkey PRIMARY KEY,
    scope text NOT NULL,
    value double precision,
    set_by text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT limits_value_check CHECK (value >= 0 AND value < 'Infinity')
);
CREATE INDEX limits_scope_version_idx ON limits (scope, version);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON limits
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the shards of the gate have borrowed of each other, where a limit is dealt out to them.
CREATE TABLE credits (
    field text NOT NULL,
    shard integer NOT NULL,
    amount integer NOT NULL,
    CONSTRAINT credits_pkey PRIMARY KEY (field, shard)
);
CREATE SEQUENCE credits_version;

CREATE TABLE resources (
    name text CONSTRAINT resources_pkey PRIMARY KEY,
    spec jsonb NOT NULL,
    -- What operators have decided of its breakers: tenant, or '' for all, -> open or closed.
    forced jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- One row a finished call of a resource: what it used, and of whose budget.
CREATE TABLE calls (
    id uuid CONSTRAINT calls_pkey PRIMARY KEY,
    resource text NOT NULL,
    tenant text NOT NULL,
    session text,
    instance_id uuid,
    attempt integer,
    agent text,
    budget_id text,
    outcome text NOT NULL,
    requests double precision NOT NULL,
    input_tokens double precision NOT NULL,
    output_tokens double precision NOT NULL,
    usd double precision NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX calls_instance_id_idx ON calls (instance_id) WHERE instance_id IS NOT NULL;
CREATE INDEX calls_budget_id_idx ON calls (budget_id) WHERE budget_id IS NOT NULL;

-- Budgets of sessions; that of an instance stands in its row. `exhausted`: the quantity for
-- which everything in the session was failed.
CREATE TABLE budgets (
    session text CONSTRAINT budgets_pkey PRIMARY KEY,
    tenant text NOT NULL,
    spec json NOT NULL,
    version integer NOT NULL DEFAULT 1,
    exhausted text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT budgets_session_fkey
        FOREIGN KEY (session, tenant) REFERENCES sessions (id, tenant)
);

-- Which shares of which budget have been told of: each once. `account` is the gate's name of it.
CREATE TABLE budget_alerts (
    account text NOT NULL,
    version integer NOT NULL,
    quantity text NOT NULL,
    percent smallint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT budget_alerts_pkey PRIMARY KEY (account, version, quantity, percent)
);
CREATE INDEX instances_live_budget_idx ON instances (session)
    WHERE budget IS NOT NULL AND ended_at IS NULL;
"""

DOWN = """
DROP TABLE budget_alerts;
DROP TABLE budgets;
DROP INDEX instances_live_budget_idx;
DROP TABLE calls;
DROP TABLE resources;
DROP TABLE credits;
DROP SEQUENCE credits_version;
DROP TABLE limits;
ALTER TABLE events DISABLE TRIGGER append_only;
DELETE FROM events WHERE kind <> 'state';
ALTER TABLE events ENABLE TRIGGER append_only;
ALTER TABLE events DROP COLUMN detail, DROP COLUMN kind;
ALTER TABLE instances DROP COLUMN budget, DROP COLUMN expires_at, DROP COLUMN cost;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
