-- finish_rebuild: the gate knows all live instances; open it.
--
-- Guarantee  only the process that holds the task opens the gate.
-- KEYS    gate
-- ARGV    token
-- REPLY   opened
-- USES    now
if redis.call('GET', key.rebuilding) ~= token then return 0 end
local lease_ms = tonumber(redis.call('HGET', key.config, 'lease_ms') or '')
-- It was emptied again, after its limits were written.
if not lease_ms then return 0 end
-- Whoever lives may hold locks; until it has had time to say so, nobody else gets any.
local live = 0
for _, set in ipairs({'leases', 'suspended', 'backlog'}) do
  live = live + redis.call('ZCARD', key[set])
end
if live > 0 then
  redis.call('SET', key.locks_closed, now + lease_ms)
end
redis.call('SET', key.generation, token)
redis.call('DEL', key.rebuilding)
return 1
