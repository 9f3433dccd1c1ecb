-- Messages, and what became of them at those that they are for.

-- name: send_message
SELECT * FROM send_message(
    %(id)s::uuid, %(kind)s, %(reach)s, %(target)s::uuid, %(session)s, %(tenant)s,
    %(sender)s::uuid, %(attempt)s::int, %(name)s, %(correlation)s::uuid, %(body)s::json,
    %(operation)s::json, %(others)s::json
);

-- name: receive_message
SELECT * FROM receive_message(
    %(id)s::uuid, %(attempt)s::int, %(box)s, %(name)s, %(gives_up)s, %(operation)s::json,
    %(others)s::json
);

-- name: subscribe
SELECT subscribe_instance(
    %(id)s::uuid, %(attempt)s::int, %(session)s, %(topic)s, %(operation)s::json, %(others)s::json
) AS done;

-- name: messages_of_instance
-- Sent by it or to it; the newest, oldest first.
SELECT * FROM (
    SELECT messages.*, found.recipient, found.attempt, found.position, found.delivered_at,
           found.redeliveries, CASE WHEN found.state = 'pending' AND receiver.ended_at IS NOT NULL
                                    THEN 'dead' ELSE found.state END AS state
    FROM (
        (SELECT deliveries.* FROM deliveries
         WHERE recipient = %(id)s ORDER BY sequence DESC LIMIT %(limit)s)
        UNION
        (SELECT deliveries.* FROM messages JOIN deliveries USING (sequence)
         WHERE sender = %(id)s ORDER BY sequence DESC LIMIT %(limit)s)
    ) AS found
    JOIN messages USING (sequence)
    JOIN instances receiver ON receiver.id = found.recipient
    ORDER BY sequence DESC, found.recipient DESC LIMIT %(limit)s
) AS newest
ORDER BY sequence, recipient;

-- name: messages_of_session
SELECT * FROM (
    SELECT messages.*, deliveries.recipient, deliveries.attempt, deliveries.position,
           deliveries.delivered_at, deliveries.redeliveries,
           CASE WHEN deliveries.state = 'pending' AND receiver.ended_at IS NOT NULL
                THEN 'dead' ELSE deliveries.state END AS state
    FROM messages
    JOIN deliveries USING (sequence)
    JOIN instances receiver ON receiver.id = deliveries.recipient
    WHERE messages.session = %(session)s
    ORDER BY sequence DESC, recipient DESC LIMIT %(limit)s
) AS newest
ORDER BY sequence, recipient;

-- name: old_messages
-- A page of what was sent long ago, and whether nobody is left who could receive it.
SELECT sequence, NOT EXISTS (
    SELECT FROM deliveries JOIN instances ON instances.id = deliveries.recipient
    WHERE deliveries.sequence = messages.sequence AND instances.ended_at IS NULL
) AS is_done
FROM messages
WHERE sequence > %(after)s AND sent_at < clock_timestamp() - %(keep)s * interval '1 second'
ORDER BY sequence LIMIT %(limit)s;

-- name: remove_deliveries
DELETE FROM deliveries WHERE sequence = ANY(%(sequences)s);

-- name: remove_messages
DELETE FROM messages WHERE sequence = ANY(%(sequences)s);

-- name: remove_subscriptions
-- Of what has ended: no more than a page at a time.
DELETE FROM subscriptions WHERE (session, topic, instance_id) IN (
    SELECT subscriptions.session, topic, instance_id
    FROM subscriptions JOIN instances ON instances.id = subscriptions.instance_id
    WHERE instances.ended_at < clock_timestamp() - %(keep)s * interval '1 second'
    LIMIT %(limit)s
);

-- name: inherit_deliveries
-- For an instance that takes over from an ended one: what that had not received, or only in the
-- part that is done again.
INSERT INTO deliveries (sequence, recipient, box, name, redeliveries)
SELECT sequence, %(id)s::uuid, box, name,
       redeliveries + (deliveries.state = 'delivered')::integer
FROM deliveries JOIN instances old ON old.id = deliveries.recipient
WHERE recipient = %(old)s
  AND (deliveries.state = 'pending'
    OR (deliveries.state = 'delivered' AND deliveries.history = old.history
        AND deliveries.position >= %(position)s));

-- name: end_deliveries
UPDATE deliveries SET state = 'dead' WHERE recipient = %(old)s AND state = 'pending';

-- name: inherit_subscriptions
INSERT INTO subscriptions (session, topic, instance_id)
SELECT subscriptions.session, topic, %(id)s::uuid
FROM subscriptions JOIN instances old USING (session)
WHERE old.id = %(old)s AND instance_id = old.id;
