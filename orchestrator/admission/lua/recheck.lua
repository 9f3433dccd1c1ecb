-- recheck: look again at waits that had too much around them to be searched when they began.
--
-- Guarantee  a wait in a deadlock fails; one that is in none is not looked at again; one with too
--            much around it still is looked at later.
-- KEYS    gate
-- ARGV    budget again_ms
-- REPLY   found failed
-- USES    now ready waits rouse victim pump
local id = redis.call('ZRANGEBYSCORE', key.unchecked, '-inf', now, 'LIMIT', 0, 1)[1]
if not id then return {0, 0} end
local needs = tonumber(redis.call('HGET', key.wait .. id, 'needs'))
local targets = redis.call('SMEMBERS', key.targets .. id)
local cycle, too_many = close_cycle(id, needs, targets, tonumber(budget))
if too_many then
  redis.call('ZADD', key.unchecked, now + tonumber(again_ms), id)
elseif cycle then
  fail_waiting(id, cycle)
else
  redis.call('ZREM', key.unchecked, id)
end
if roused then pump(16) end
return {1, cycle and 1 or 0}
