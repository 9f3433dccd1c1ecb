"""Messages between agents and services, and what became of each where it was to go."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = """
-- What was said, once, however many it is for. Rows are never changed.
CREATE TABLE messages (
    -- Of what one sender sends, the later has the greater number.
    sequence bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT messages_pkey PRIMARY KEY,
    id uuid NOT NULL CONSTRAINT messages_id_key UNIQUE,
    session text NOT NULL,
    tenant text NOT NULL,
    kind text NOT NULL,
    -- The instance that sent it; none: a service.
    sender uuid,
    -- The topic of a publication, the name of a signal.
    name text,
    -- Of a reply: the request.
    correlation uuid,
    body json NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT messages_session_fkey
        FOREIGN KEY (session, tenant) REFERENCES sessions (id, tenant),
    CONSTRAINT messages_kind_check CHECK (kind IN ('message', 'request', 'reply', 'signal')),
    CONSTRAINT messages_name_check CHECK (kind <> 'signal' OR name IS NOT NULL),
    CONSTRAINT messages_correlation_check CHECK ((kind = 'reply') = (correlation IS NOT NULL))
);
CREATE INDEX messages_session_idx ON messages (session, sequence);
CREATE INDEX messages_sender_idx ON messages (sender, sequence) WHERE sender IS NOT NULL;

-- What became of a message at each it is for; apart from what becomes of these themselves.
CREATE TABLE deliveries (
    sequence bigint NOT NULL CONSTRAINT deliveries_sequence_fkey REFERENCES messages (sequence),
    recipient uuid NOT NULL,
    -- Which wait takes it (`message`, `signal` or `reply`), and by which name: of a topic, a
    -- signal, or a request.
    box text NOT NULL,
    name text,
    state text NOT NULL DEFAULT 'pending',
    -- Where it was received: a journal, taken back to before that, makes it pending again.
    attempt integer,
    history integer,
    position integer,
    delivered_at timestamptz,
    redeliveries integer NOT NULL DEFAULT 0,
    CONSTRAINT deliveries_pkey PRIMARY KEY (sequence, recipient),
    CONSTRAINT deliveries_box_check CHECK (box IN ('message', 'signal', 'reply')),
    CONSTRAINT deliveries_state_check CHECK (state IN ('pending', 'delivered', 'dead')),
    CONSTRAINT deliveries_delivered_check CHECK (
        (state = 'delivered') = (delivered_at IS NOT NULL))
);
CREATE INDEX deliveries_recipient_idx ON deliveries (recipient, sequence);
-- What a receiver looks into: its length is what waits, not what was ever sent.
CREATE INDEX deliveries_pending_idx ON deliveries (recipient, box, sequence)
    WHERE state = 'pending';

CREATE TABLE subscriptions (
    session text NOT NULL,
    topic text NOT NULL,
    instance_id uuid NOT NULL,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (session, topic, instance_id)
);
"""

# What several of the functions below ask or do.
HELPERS = """
-- Whether a wait, by its kind and name, takes what lies in a box under a name.
CREATE FUNCTION takes(
    wanted_box text, wanted_name text, the_box text, the_name text
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT wanted_box = the_box AND (coalesce(wanted_name, '') = '' OR wanted_name = the_name);
$$;

-- Whether an attempt may still write. It may until the end of the transaction: its row is locked.
CREATE FUNCTION may_write(the_id uuid, the_attempt integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM instances
    WHERE id = the_id AND state = 'running' AND attempt = the_attempt FOR SHARE;
    RETURN FOUND;
END $$;

-- Into the journal: what an operation came to, and what had not been written before.
CREATE FUNCTION write_outcome(
    the_id uuid, the_attempt integer, operation json, outcome json, others json
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF others IS NOT NULL THEN
        PERFORM write_steps(the_id, the_attempt, others);
    END IF;
    PERFORM write_steps(the_id, the_attempt, json_build_array(json_build_object(
        'position', operation -> 'position', 'kind', operation -> 'kind',
        'name', operation -> 'name', 'value', outcome)));
END $$;

-- What the journal has of an operation: of one that is repeated because its answer was lost.
CREATE FUNCTION written_outcome(the_id uuid, operation json) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT value FROM steps
    WHERE instance_id = the_id AND position = (operation ->> 'position')::integer;
$$;

-- Those that a message is for, at this moment.
CREATE FUNCTION reached(
    reach text, the_session text, target uuid, topic text
) RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    CASE reach
    WHEN 'instance' THEN
        RETURN ARRAY[target];
    WHEN 'session' THEN
        RETURN ARRAY(SELECT id FROM instances WHERE session = the_session AND ended_at IS NULL);
    WHEN 'topic' THEN
        RETURN ARRAY(SELECT instance_id FROM subscriptions
                     WHERE session = the_session AND subscriptions.topic = reached.topic);
    WHEN 'subtree' THEN
        -- Through ended ones too: what was spawned detached outlives its parent.
        RETURN ARRAY(
            WITH RECURSIVE tree AS (
                SELECT id, ended_at FROM instances WHERE id = target
                UNION ALL
                SELECT child.id, child.ended_at
                FROM instances child JOIN tree ON child.parent_id = tree.id
            )
            SELECT id FROM tree WHERE ended_at IS NULL);
    END CASE;
END $$;
"""

# One message to all that it is for, in one call. The lock on their rows makes this and the moment
# in which one of them falls asleep, or ends, exclude each other: either the message is there when
# that one looks for the last time, or it is seen asleep here, and woken. Rows are locked in the
# order of their ids, and so from the top of a tree, as those who end trees lock them.
SEND = """
CREATE FUNCTION send_message(
    the_id uuid, the_kind text, reach text, target uuid, the_session text, the_tenant text,
    the_sender uuid, the_attempt integer, the_name text, the_correlation uuid, the_body json,
    operation json, others json,
    OUT outcome text, OUT recipients integer, OUT skipped integer, OUT woken uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    the_box text := CASE the_kind WHEN 'request' THEN 'message' ELSE the_kind END;
    box_name text := coalesce(the_correlation::text, the_name);
    of_session text;
    of_tenant text;
    wanted uuid[];
    live uuid[];
    may_send boolean;
    the_sequence bigint;
BEGIN
    IF the_kind = 'reply' THEN
        -- Who asked may have died, and another one does its work again.
        SELECT coalesce(again.id, old.id) INTO target
        FROM instances old
        LEFT JOIN instances again ON old.ended_at IS NOT NULL AND again.ended_at IS NULL
            AND again.retry_of = coalesce(old.retry_of, old.id)
        WHERE old.id = target;
    END IF;
    IF target IS NULL THEN
        SELECT id, tenant INTO of_session, of_tenant FROM sessions WHERE id = the_session;
    ELSE
        SELECT session, tenant INTO of_session, of_tenant FROM instances WHERE id = target;
    END IF;
    outcome := CASE
        WHEN of_session IS NULL THEN 'unknown'
        WHEN the_tenant <> of_tenant THEN 'other_tenant'
        WHEN the_session <> of_session THEN 'other_session' END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;

    wanted := reached(reach, of_session, target, the_name);
    IF reach <> 'instance' THEN
        wanted := array_remove(wanted, the_sender);
    END IF;
    WITH locked AS MATERIALIZED (
        SELECT id, state, attempt, wait, ended_at FROM instances
        WHERE id = ANY(wanted || the_sender) ORDER BY id FOR SHARE
    )
    SELECT coalesce(array_agg(id) FILTER (WHERE id = ANY(wanted) AND ended_at IS NULL), '{}'),
           coalesce(array_agg(id) FILTER (
               WHERE id = ANY(wanted) AND state = 'waiting'
                 AND takes(wait ->> 'kind', wait ->> 'name', the_box, box_name)), '{}'),
           coalesce(bool_or(state = 'running' AND attempt = the_attempt)
                    FILTER (WHERE id = the_sender), the_sender IS NULL)
    INTO live, woken, may_send
    FROM locked;
    IF NOT may_send THEN
        outcome := 'fenced';
        RETURN;
    END IF;

    recipients := cardinality(live);
    skipped := cardinality(wanted) - recipients;
    IF NOT EXISTS (SELECT FROM messages WHERE id = the_id) THEN
        IF reach = 'instance' AND recipients = 0 THEN
            outcome := 'ended';
            RETURN;
        END IF;
        INSERT INTO messages (id, session, tenant, kind, sender, name, correlation, body)
        VALUES (the_id, of_session, of_tenant, the_kind, the_sender, the_name, the_correlation,
                the_body)
        ON CONFLICT (id) DO NOTHING
        RETURNING sequence INTO the_sequence;
    END IF;
    IF the_sequence IS NOT NULL THEN
        outcome := 'sent';
        INSERT INTO deliveries (sequence, recipient, box, name)
        SELECT the_sequence, one, the_box, box_name FROM unnest(live) AS one;
    ELSE
        -- It was sent before, to those who were there then.
        SELECT CASE WHEN kind = the_kind AND body::text = the_body::text
                         AND name IS NOT DISTINCT FROM the_name
                    THEN 'repeated' ELSE 'conflict' END,
               (SELECT count(*) FROM deliveries WHERE sequence = messages.sequence), 0
        INTO outcome, recipients, skipped
        FROM messages WHERE id = the_id;
    END IF;
    IF operation IS NOT NULL AND outcome <> 'conflict' THEN
        PERFORM write_outcome(the_sender, the_attempt, operation, json_build_object(
            'id', the_id, 'recipients', recipients, 'skipped', skipped), others);
    END IF;
END $$;
"""

# Receiving and its place in the journal are one: whoever runs again is given the same message.
RECEIVE = """
CREATE FUNCTION receive_message(
    the_id uuid, the_attempt integer, the_box text, the_name text, gives_up boolean,
    operation json, others json,
    OUT outcome text, OUT message json
) LANGUAGE plpgsql AS $$
DECLARE
    the_sequence bigint;
    before integer;
BEGIN
    IF NOT may_write(the_id, the_attempt) THEN
        outcome := 'fenced';
        RETURN;
    END IF;
    message := written_outcome(the_id, operation) -> 'message';
    IF message IS NOT NULL THEN
        outcome := CASE json_typeof(message) WHEN 'null' THEN 'gave_up' ELSE 'received' END;
        RETURN;
    END IF;
    SELECT sequence, redeliveries INTO the_sequence, before FROM deliveries
    WHERE recipient = the_id AND state = 'pending' AND takes(the_box, the_name, box, name)
    ORDER BY sequence LIMIT 1;
    IF the_sequence IS NULL AND NOT gives_up THEN
        outcome := 'nothing';
        RETURN;
    END IF;
    outcome := CASE WHEN the_sequence IS NULL THEN 'gave_up' ELSE 'received' END;
    UPDATE deliveries
    SET state = 'delivered', delivered_at = clock_timestamp(), attempt = the_attempt,
        position = (operation ->> 'position')::integer,
        history = (SELECT instances.history FROM instances WHERE instances.id = the_id)
    WHERE sequence = the_sequence AND recipient = the_id;
    SELECT json_build_object(
        'id', id, 'sequence', sequence, 'kind', kind, 'sender', sender, 'name', name,
        'correlation', correlation, 'body', body, 'sent_at', sent_at, 'redeliveries', before)
    INTO message FROM messages WHERE sequence = the_sequence;
    PERFORM write_outcome(the_id, the_attempt, operation,
                          json_build_object('message', message), others);
END $$;

CREATE FUNCTION subscribe_instance(
    the_id uuid, the_attempt integer, the_session text, the_topic text, operation json, others json
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT may_write(the_id, the_attempt) THEN
        RETURN false;
    END IF;
    INSERT INTO subscriptions (session, topic, instance_id)
    VALUES (the_session, the_topic, the_id) ON CONFLICT DO NOTHING;
    PERFORM write_outcome(the_id, the_attempt, operation, NULL, others);
    RETURN true;
END $$;

-- Waits for messages are over by what has been delivered; a wait for a reply also when nobody is
-- left who could give it.
ALTER FUNCTION is_wait_over(uuid, json) RENAME TO is_wait_over_elsewhere;
CREATE FUNCTION is_wait_over(the_id uuid, wait json) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF is_wait_over_elsewhere(the_id, wait) THEN
        RETURN true;
    END IF;
    IF wait ->> 'kind' NOT IN ('message', 'signal', 'reply') THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        SELECT FROM deliveries
        WHERE recipient = the_id AND state = 'pending'
          AND takes(wait ->> 'kind', wait ->> 'name', box, name))
        OR (wait ->> 'kind' = 'reply' AND count_live(wait -> 'targets') = 0);
END $$;

-- What was received in the part that is taken back is there to be received again. A journal that
-- begins anew is not taken back: what was received before is done with.
ALTER FUNCTION rewind_instance(uuid, integer, uuid[]) RENAME TO rewind_journal;
CREATE FUNCTION rewind_instance(the_id uuid, from_position integer, children uuid[])
RETURNS uuid[] LANGUAGE plpgsql AS $$
BEGIN
    UPDATE deliveries
    SET state = 'pending', delivered_at = NULL, attempt = NULL, history = NULL, position = NULL,
        redeliveries = redeliveries + 1
    FROM instances
    WHERE recipient = the_id AND deliveries.state = 'delivered' AND instances.id = the_id
      AND deliveries.history = instances.history AND deliveries.position >= from_position;
    RETURN rewind_journal(the_id, from_position, children);
END $$;
"""

DOWN = """
DROP FUNCTION rewind_instance, is_wait_over;
ALTER FUNCTION rewind_journal RENAME TO rewind_instance;
ALTER FUNCTION is_wait_over_elsewhere RENAME TO is_wait_over;
DROP FUNCTION subscribe_instance, receive_message, send_message;
DROP FUNCTION reached, written_outcome, write_outcome, may_write, takes;
DROP TABLE subscriptions;
DROP TABLE deliveries;
DROP TABLE messages;
"""


def upgrade() -> None:
    for part in (TABLES, HELPERS, SEND, RECEIVE):
        op.execute(part)


def downgrade() -> None:
    op.execute(DOWN)
