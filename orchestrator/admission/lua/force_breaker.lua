-- force_breaker: an operator opens or closes a breaker, or leaves it to itself again (`auto`), when
-- it begins closed and lets few calls through at first.
--
-- Guarantee  results of calls that were let through before count no more.
-- KEYS    gate
-- ARGV    resource tenant mode
-- REPLY   nothing
-- USES    now config resource breaker turn
if redis.call('EXISTS', key.generation) + redis.call('EXISTS', key.rebuilding) == 0 then
  return redis.error_reply('GATE_EMPTY the gate must be rebuilt')
end
local scope = tenant ~= '' and resource .. ' ' .. tenant or resource
local breaker = breaker_of(scope, resource, policy_of(resource))
if mode == 'auto' then
  redis.call('HDEL', key.forced, scope)
  breaker.trips, breaker.ramp_at = 0, now
else
  redis.call('HSET', key.forced, scope, mode)
end
turn_breaker(scope, breaker, 'closed')
redis.call('SADD', key.scopes, scope)
wake_first(scope)
return ''
