-- What the shards of the gate have borrowed (above zero) or lent (below) of each limit. The sum over
-- the shards is always zero.

-- name: alone_with_credits
-- Until the end of the transaction nobody else moves any. Each who does has a higher version, also
-- if nothing comes of it, so the gate can tell one who has been left behind.
SELECT pg_advisory_xact_lock(hashtext('orchestrator.credits')),
       nextval('credits_version') AS version;

-- name: credits
SELECT field, shard, amount FROM credits WHERE amount <> 0;

-- name: add_credit
INSERT INTO credits (field, shard, amount) VALUES (%(field)s, %(shard)s, %(amount)s)
ON CONFLICT (field, shard) DO UPDATE SET amount = credits.amount + excluded.amount;
