"""What the agents of a session share: keys and values, every version of them."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

TABLE = """
-- What the agents of a session share, each change a row: the newest of a key holds, and one
-- without a value takes the key away. (The value `null` is a value.)
CREATE TABLE shared_values (
    session text NOT NULL,
    version bigint NOT NULL,
    key text NOT NULL,
    value json,
    -- The instance that wrote it; none: a service.
    set_by uuid,
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT shared_values_pkey PRIMARY KEY (session, version),
    CONSTRAINT shared_values_session_fkey FOREIGN KEY (session) REFERENCES sessions (id),
    CONSTRAINT shared_values_version_check CHECK (version > 0)
);
CREATE INDEX shared_values_key_idx ON shared_values (session, key, version);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON shared_values
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

# Versions of a session grow by one: whoever adds any holds the lock on the session's row, in a
# mode that lets spawns in the session go on.
SHARE = """
CREATE FUNCTION begin_sharing(
    the_session text, the_tenant text, the_writer uuid, the_attempt integer, operation json,
    OUT outcome text, OUT version bigint
) LANGUAGE plpgsql AS $$
DECLARE
    written json;
BEGIN
    IF the_writer IS NOT NULL AND NOT may_write(the_writer, the_attempt) THEN
        outcome := 'fenced';
        RETURN;
    END IF;
    written := written_outcome(the_writer, operation);
    IF written IS NOT NULL THEN
        outcome := written ->> 'outcome';
        version := (written ->> 'version')::bigint;
        RETURN;
    END IF;
    INSERT INTO sessions (id, tenant) VALUES (the_session, the_tenant) ON CONFLICT DO NOTHING;
    PERFORM FROM sessions WHERE id = the_session AND tenant = the_tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'other_tenant';
    END IF;
END $$;

CREATE FUNCTION shared_version(the_session text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(version), 0) FROM shared_values WHERE session = the_session;
$$;

-- All keys as they were at a version, those that were taken away too.
CREATE FUNCTION shared_at(the_session text, at_version bigint)
RETURNS SETOF shared_values LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (key) * FROM shared_values
    WHERE session = the_session AND version <= at_version
    ORDER BY key, version DESC;
$$;

-- `expected`: the version in which the key was set last, 0 for none; NULL: whichever.
CREATE FUNCTION set_shared(
    the_session text, the_tenant text, the_key text, the_value json, expected bigint,
    the_writer uuid, the_attempt integer, operation json, others json,
    OUT outcome text, OUT version bigint
) LANGUAGE plpgsql AS $$
DECLARE
    found_version bigint;
BEGIN
    SELECT share.outcome, share.version INTO outcome, version
    FROM begin_sharing(the_session, the_tenant, the_writer, the_attempt, operation) AS share;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT CASE WHEN value IS NULL THEN 0 ELSE shared_values.version END
    INTO found_version FROM shared_values
    WHERE session = the_session AND key = the_key
    ORDER BY shared_values.version DESC LIMIT 1;
    found_version := coalesce(found_version, 0);
    IF expected <> found_version THEN
        outcome := 'conflict';
        version := found_version;
    ELSE
        outcome := 'set';
        version := shared_version(the_session);
        -- Taking away what is not there changes nothing.
        IF the_value IS NOT NULL OR found_version > 0 THEN
            version := version + 1;
            INSERT INTO shared_values (session, version, key, value, set_by)
            VALUES (the_session, set_shared.version, the_key, the_value, the_writer);
        END IF;
    END IF;
    IF operation IS NOT NULL THEN
        PERFORM write_outcome(the_writer, the_attempt, operation,
                              json_build_object('outcome', outcome, 'version', version), others);
    END IF;
END $$;

-- Adds what is needed so that all keys are again as they were at a version.
CREATE FUNCTION roll_back_shared(
    the_session text, the_tenant text, to_version bigint,
    the_writer uuid, the_attempt integer, operation json, others json,
    OUT outcome text, OUT version bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT share.outcome, share.version INTO outcome, version
    FROM begin_sharing(the_session, the_tenant, the_writer, the_attempt, operation) AS share;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    version := shared_version(the_session);
    outcome := CASE WHEN to_version BETWEEN 0 AND version THEN 'set' ELSE 'unknown' END;
    IF outcome = 'set' THEN
        INSERT INTO shared_values (session, version, key, value, set_by)
        SELECT the_session, roll_back_shared.version + row_number() OVER (ORDER BY now.key),
               now.key, before.value, the_writer
        FROM shared_at(the_session, roll_back_shared.version) AS now
        LEFT JOIN shared_at(the_session, to_version) AS before ON before.key = now.key
        WHERE before.value::text IS DISTINCT FROM now.value::text;
        version := shared_version(the_session);
    END IF;
    IF operation IS NOT NULL THEN
        PERFORM write_outcome(the_writer, the_attempt, operation,
                              json_build_object('outcome', outcome, 'version', version), others);
    END IF;
END $$;
"""

DOWN = """
DROP FUNCTION roll_back_shared, set_shared, shared_at, shared_version, begin_sharing;
DROP TABLE shared_values;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(SHARE)


def downgrade() -> None:
    op.execute(DOWN)
