-- begin_rebuild: claim the task of filling an empty gate from PostgreSQL.
--
-- REPLY   `ready` (nothing to do), `yours`, or `busy` (somebody is at it)
-- KEYS    gate
-- ARGV    token hold_ms
if redis.call('EXISTS', key.generation) == 1 then return 'ready' end
return redis.call('SET', key.rebuilding, token, 'NX', 'PX', hold_ms) and 'yours' or 'busy'
