-- hold_rebuild: go on holding the task of filling the gate.
--
-- KEYS    gate
-- ARGV    token hold_ms
-- REPLY   held
if redis.call('GET', key.rebuilding) ~= token then return 0 end
return redis.call('PEXPIRE', key.rebuilding, hold_ms)
