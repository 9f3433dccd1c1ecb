-- begin_rebuild: claim the task of filling an empty gate from PostgreSQL.
--
-- REPLY   `ready` (nothing to do), `yours` (from now on), `held` (yours since before), or `busy`
--         (another process is at it)
-- KEYS    gate
-- ARGV    token hold_ms
if redis.call('EXISTS', key.generation) == 1 then return 'ready' end
if redis.call('SET', key.rebuilding, token, 'NX', 'PX', hold_ms) then return 'yours' end
if redis.call('GET', key.rebuilding) ~= token then return 'busy' end
redis.call('PEXPIRE', key.rebuilding, hold_ms)
return 'held'
