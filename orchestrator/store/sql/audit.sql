-- The seals of the audit trail, its parts, and reading it from one end to the other.

-- name: lock_seals
-- Until the end of the transaction; whoever does not get it leaves the round to the other.
SELECT pg_try_advisory_xact_lock(1936023916) AS got;

-- name: last_event_number
-- The last number that was given to an event, also of a transaction that has not committed.
SELECT coalesce(pg_sequence_last_value('events_sequence_seq'), 0) AS last;

-- name: event_writers
-- Transactions that may have added events: each holds this lock from before it takes a number
-- until its end.
SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') AS holders FROM pg_locks
WHERE relation = 'events'::regclass AND mode = 'RowExclusiveLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: audit_mark
SELECT upto, holders FROM audit_mark;

-- name: set_audit_mark
INSERT INTO audit_mark (upto, holders) VALUES (%(upto)s, %(holders)s)
ON CONFLICT (is_only) DO UPDATE SET upto = excluded.upto, holders = excluded.holders;

-- name: events_between
SELECT * FROM events
WHERE sequence > %(after)s AND sequence <= %(upto)s
  AND (%(session)s::text IS NULL OR session = %(session)s)
  AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY sequence
LIMIT %(limit)s;

-- name: newest_seal
SELECT * FROM audit_seals ORDER BY number DESC LIMIT 1;

-- name: sealed_upto
SELECT coalesce((
    SELECT upto FROM audit_seals WHERE session IS NOT NULL ORDER BY number DESC LIMIT 1
), 0) AS upto;

-- name: newest_cut
SELECT * FROM audit_seals WHERE session IS NULL ORDER BY number DESC LIMIT 1;

-- name: newest_seals_of
-- Of each of these sessions.
SELECT DISTINCT ON (session) * FROM audit_seals
WHERE session = ANY(%(sessions)s) ORDER BY session, session_number DESC;

-- name: add_seal
INSERT INTO audit_seals (
    number, session, session_number, first_sequence, last_sequence, upto, events, cut_before,
    session_previous, session_hash, previous, hash, sealed_at
) VALUES (
    %(number)s, %(session)s, %(session_number)s, %(first_sequence)s, %(last_sequence)s, %(upto)s,
    %(events)s, %(cut_before)s, %(session_previous)s, %(session_hash)s, %(previous)s, %(hash)s,
    %(sealed_at)s
);

-- name: seals_after
SELECT * FROM audit_seals WHERE number > %(number)s ORDER BY number LIMIT %(limit)s;

-- name: round_end
-- Up to where the round of sealing went in which this sequence was sealed.
SELECT coalesce(min(upto), 0) AS upto FROM audit_seals
WHERE session IS NOT NULL AND upto >= %(sequence)s;

-- name: make_event_parts
SELECT make_event_parts(%(ahead)s) AS made;

-- name: old_event_parts
SELECT part, until FROM event_parts() WHERE until <= %(before)s ORDER BY until;

-- name: kept_events
-- Up to a sequence, those that are not in the parts that end by then.
SELECT * FROM events WHERE sequence <= %(upto)s AND at >= %(before)s ORDER BY sequence;

-- name: last_event_before
SELECT coalesce(max(sequence), 0) AS last FROM events WHERE at < %(before)s;

-- name: drop_event_part
SELECT drop_event_part(%(part)s);

-- name: role_powers
-- Whether grants do not bind a role; and the schema that the tables are in.
SELECT role.rolsuper OR pg_has_role(role.oid, tables.relowner, 'MEMBER') AS unsafe,
       tables.relnamespace::regnamespace::text AS schema
FROM pg_roles role, pg_class tables
WHERE role.rolname = %(role)s AND tables.oid = 'events'::regclass;
