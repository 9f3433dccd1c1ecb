-- keep_time: compare the clocks of both servers; let the gate's catch up with what both agree on.
--
-- Guarantee  the gate's clock never goes back, and no lease ends by what is made up for here: what
--            is held until a time of the gate's clock is held as much longer. No bucket fills by it
--            either: calls may have been taken from it since that time passed, unseen.
-- KEYS    gate
-- ARGV    reference_ms
-- REPLY   caught_up_ms
-- USES    freely now ready
local time = redis.call('TIME')
local server = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', key.time) == 0 then
  redis.call('SET', key.time, string.format('%.0f 0', server))
end

local missing = 0
local then_there, then_here, then_now =
  string.match(redis.call('GET', key.mark) or '', '^(%d+) (%d+) (%d+)$')
if then_there then
  -- A clock that was set does not agree with the other one.
  local passed = math.min(reference_ms - then_there, server - then_here)
  missing = math.max(0, passed - (now - then_now))
  if missing <= 1000 then missing = 0 end
end

local function keep_longer(set)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', '(+inf')) do
    redis.call('ZINCRBY', set, missing, id)
  end
end

if missing > 0 then
  now = now + missing
  redis.call('SET', key.time, string.format('%.0f %.0f', server, server - now))
  for _, set in ipairs({'leases', 'reserved', 'suspended', 'workers'}) do keep_longer(key[set]) end
  for _, scope in ipairs(redis.call('SMEMBERS', key.scopes)) do
    keep_longer(key.calls .. scope)
    keep_longer(key.probes .. scope)
    keep_longer(key.ticket_ends .. scope)
    if redis.call('HEXISTS', key.bucket .. scope, 'at') == 1 then
      redis.call('HINCRBY', key.bucket .. scope, 'at', missing)
    end
  end
end
redis.call('SET', key.mark, string.format('%.0f %.0f %.0f', reference_ms, server, now))
return string.format('%.0f', missing)
