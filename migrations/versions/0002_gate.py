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

-- A budget of a session or of an instance with all below it.
CREATE TABLE budgets (
    id text CONSTRAINT budgets_pkey PRIMARY KEY,
    parent_id text,
    tenant text NOT NULL,
    session text NOT NULL,
    instance_id uuid,
    spec json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX budgets_session_idx ON budgets (session);
"""

DOWN = """
DROP TABLE budgets;
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
