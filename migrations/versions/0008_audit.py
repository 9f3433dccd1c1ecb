"""An audit trail in parts by month, the seals that show tampering with it, and keys of payloads."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0008"
down_revision = "0007"

# The names are those that PostgreSQL 18 gives by itself, where no other table has them.
COLUMNS = """
    sequence bigint CONSTRAINT events_sequence_not_null NOT NULL
        GENERATED ALWAYS AS IDENTITY,
    instance_id uuid CONSTRAINT events_instance_id_not_null NOT NULL,
    session text CONSTRAINT events_session_not_null NOT NULL,
    tenant text CONSTRAINT events_tenant_not_null NOT NULL,
    agent text CONSTRAINT events_agent_not_null NOT NULL,
    from_state text,
    to_state text CONSTRAINT events_to_state_not_null NOT NULL,
    reason text,
    attempt integer CONSTRAINT events_attempt_not_null NOT NULL,
    worker text,
    at timestamptz CONSTRAINT events_at_not_null NOT NULL DEFAULT clock_timestamp(),
    kind text CONSTRAINT events_kind_not_null NOT NULL DEFAULT 'state',
    detail json,
"""

# The rows that are there become the first part, without being moved. `kept` is what the sequence
# of their numbers was at.
PARTITIONED = """
CREATE TEMPORARY TABLE kept ON COMMIT DROP AS
    SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('events', 'sequence')), 0) AS at;
ALTER TABLE events RENAME TO events_first;
ALTER TABLE events_first ALTER COLUMN sequence DROP IDENTITY;
ALTER TABLE events_first DROP CONSTRAINT events_pkey;
ALTER TABLE events_first ADD CONSTRAINT events_first_pkey PRIMARY KEY (sequence, at);
ALTER INDEX events_instance_id_idx RENAME TO events_first_instance_id_idx;

CREATE TABLE events ({columns}    -- The key of a table in parts has to name what it is parted by.
    CONSTRAINT events_pkey PRIMARY KEY (sequence, at)
) PARTITION BY RANGE (at);
CREATE INDEX events_instance_id_idx ON events (instance_id, sequence);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

DO $$
DECLARE
    until timestamptz := (
        SELECT date_trunc('month', greatest(max(at), now()) AT TIME ZONE 'UTC') + interval '1 month'
        FROM events_first) AT TIME ZONE 'UTC';
BEGIN
    EXECUTE format('ALTER TABLE events ATTACH PARTITION events_first '
                   'FOR VALUES FROM (MINVALUE) TO (%L)', until);
    EXECUTE format('ALTER TABLE events ALTER COLUMN sequence RESTART WITH %s',
                   (SELECT at + 1 FROM kept));
END $$;
DROP TABLE kept;

-- Takes what no part is there for: no beat that is away may ever refuse an insert.
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events_default
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

SEALS = """
-- Each fixes what a session's events were up to a point, and all seals before it. Without a session
-- it is a cut: parts of the trail before `cut_before` were dropped, and of all events up to `upto`
-- those in `session_hash` stay.
CREATE TABLE audit_seals (
    -- Without gaps, from 1.
    number bigint CONSTRAINT audit_seals_pkey PRIMARY KEY,
    session text,
    -- Which of the session's seals it is, from 1.
    session_number bigint,
    first_sequence bigint,
    last_sequence bigint,
    -- All events up to this sequence are sealed by this round of sealing and those before.
    upto bigint NOT NULL,
    events integer NOT NULL,
    cut_before timestamptz,
    -- SHA-256 over the one before it in the session, and over the events.
    session_previous bytea,
    session_hash bytea NOT NULL,
    -- SHA-256 over the one before it, and over all that stands in this row.
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    sealed_at timestamptz NOT NULL,
    CONSTRAINT audit_seals_session_check CHECK ((session IS NULL) = (cut_before IS NOT NULL))
);
CREATE UNIQUE INDEX audit_seals_session_idx ON audit_seals (session, session_number)
    WHERE session IS NOT NULL;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Numbers up to `upto` had been given out when these transactions were under way: once they have
-- ended, no event can appear there any more.
CREATE TABLE audit_mark (
    is_only boolean CONSTRAINT audit_mark_pkey PRIMARY KEY DEFAULT true,
    upto bigint NOT NULL,
    holders text[] NOT NULL,
    CONSTRAINT audit_mark_is_only_check CHECK (is_only)
);
"""

KEYS = """
-- Versions of shared values are never changed, but for what is erased in them.
DROP TRIGGER append_only ON shared_values;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON shared_values
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_erased BEFORE UPDATE ON shared_values FOR EACH ROW
    WHEN (NEW.value::text IS DISTINCT FROM '{"$erased"\\: true}'
          OR (NEW.session, NEW.version, NEW.key, NEW.set_by, NEW.set_at)
             IS DISTINCT FROM (OLD.session, OLD.version, OLD.key, OLD.set_by, OLD.set_at))
    EXECUTE FUNCTION refuse_change();

-- Keys that payloads are encrypted with: one of each session that has any, wrapped by that of its
-- tenant (session ''), which a master key wraps that is not in the database. Without `wrapped`, a
-- key was destroyed.
CREATE TABLE payload_keys (
    id uuid CONSTRAINT payload_keys_pkey PRIMARY KEY,
    tenant text NOT NULL,
    session text NOT NULL,
    wrapped bytea,
    wrapped_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    erased_at timestamptz,
    CONSTRAINT payload_keys_erased_check CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))
);
CREATE UNIQUE INDEX payload_keys_current_idx ON payload_keys (tenant, session)
    WHERE wrapped IS NOT NULL;
"""

# With the rights of the owner, whoever calls: services have none to make or drop tables.
PARTS = """
CREATE FUNCTION event_parts(OUT part text, OUT until timestamptz)
RETURNS SETOF record LANGUAGE sql STABLE AS $$
    SELECT relname,
           substring(pg_get_expr(relpartbound, oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz
    FROM pg_class
    WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass)
      AND pg_get_expr(relpartbound, oid) <> 'DEFAULT'
    ORDER BY 2;
$$;

-- The start of a month that is so many months after a time, in UTC.
CREATE FUNCTION month_after(a_time timestamptz, months integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT (date_trunc('month', a_time AT TIME ZONE 'UTC') + months * interval '1 month')
        AT TIME ZONE 'UTC';
$$;

-- Make the parts of the coming months. What the default part has taken meanwhile becomes a part of
-- its own. Answers how many were made.
CREATE FUNCTION make_event_parts(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    begins timestamptz;
    ends timestamptz;
    part text;
    strayed timestamptz;
    made integer := 0;
BEGIN
    -- One at a time, and never a wait in front of which all inserts would queue.
    IF NOT pg_try_advisory_xact_lock({lock}) THEN
        RETURN 0;
    END IF;
    SET LOCAL lock_timeout = '2s';
    LOOP
        SELECT coalesce(max(until), month_after(clock_timestamp(), 0)) INTO begins
        FROM event_parts();
        EXIT WHEN begins >= month_after(clock_timestamp(), least(ahead, 24) + 1);
        SELECT max(at) INTO strayed FROM events_default;
        part := format('events_%s', to_char(begins AT TIME ZONE 'UTC', 'YYYY_MM'));
        ends := month_after(greatest(begins, strayed), 1);
        IF strayed IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL EXCLUDING IDENTITY)', part);
            EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                           'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', part);
        ELSE
            ALTER TABLE events DETACH PARTITION events_default;
            EXECUTE format('ALTER TABLE events_default RENAME TO %I', part);
        END IF;
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       part, begins, ends);
        IF strayed IS NOT NULL THEN
            CREATE TABLE events_default PARTITION OF events DEFAULT;
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events_default
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        END IF;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Drop a part. It must be older than 30 days, and the newest seal must be the cut that says so.
CREATE FUNCTION drop_event_part(the_part text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    ended timestamptz := (SELECT until FROM event_parts() WHERE part = the_part);
    last_event bigint;
    newest audit_seals;
BEGIN
    IF ended IS NULL OR ended > clock_timestamp() - interval '30 days' THEN
        RAISE EXCEPTION 'the audit trail is kept for 30 days at least; % is not to be dropped',
            the_part USING ERRCODE = 'insufficient_privilege';
    END IF;
    SET LOCAL lock_timeout = '2s';
    EXECUTE format('SELECT max(sequence) FROM %I', the_part) INTO last_event;
    SELECT * INTO newest FROM audit_seals ORDER BY number DESC LIMIT 1;
    IF last_event IS NOT NULL
       AND (newest.cut_before IS NULL OR newest.cut_before < ended OR newest.upto < last_event)
    THEN
        RAISE EXCEPTION 'no seal says that % is dropped', the_part
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('DROP TABLE %I', the_part);
END $$;

-- For those whom `orchestrator grant` names.
REVOKE EXECUTE ON FUNCTION make_event_parts(integer), drop_event_part(text) FROM PUBLIC;
"""

#: Whoever makes parts holds this lock: any constant serves.
LOCK = 0x70617274

DOWN = """
DROP FUNCTION drop_event_part(text);
DROP FUNCTION make_event_parts(integer);
DROP FUNCTION event_parts();
DROP FUNCTION month_after(timestamptz, integer);
DROP TRIGGER only_erased ON shared_values;
DROP TRIGGER append_only ON shared_values;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON shared_values
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
DROP TABLE payload_keys;
DROP TABLE audit_mark;
DROP TABLE audit_seals;
ALTER TABLE events RENAME TO events_parted;
ALTER TABLE events_parted RENAME CONSTRAINT events_pkey TO events_parted_pkey;
ALTER SEQUENCE events_sequence_seq RENAME TO events_parted_sequence_seq;
ALTER INDEX events_instance_id_idx RENAME TO events_parted_instance_id_idx;
CREATE TABLE events ({columns}    CONSTRAINT events_pkey PRIMARY KEY (sequence)
);
INSERT INTO events OVERRIDING SYSTEM VALUE SELECT * FROM events_parted;
SELECT setval('events_sequence_seq', pg_sequence_last_value('events_parted_sequence_seq'))
WHERE pg_sequence_last_value('events_parted_sequence_seq') IS NOT NULL;
DROP TABLE events_parted;
CREATE INDEX events_instance_id_idx ON events (instance_id, sequence);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(PARTITIONED.replace("{columns}", COLUMNS))
    op.execute(SEALS)
    op.execute(KEYS)
    schema = op.get_bind().scalar(text("SELECT quote_ident(current_schema())"))
    op.execute(PARTS.replace("{schema}", schema).replace("{lock}", str(LOCK)))


def downgrade() -> None:
    op.execute(DOWN.replace("{columns}", COLUMNS))
