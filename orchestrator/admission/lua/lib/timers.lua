-- USES now
-- set_time: something is to happen to an instance at a time. Who does that looks again in time: the
-- next time is told to all workers when it has become sooner.
local function set_time(set, id, delay_ms)
  redis.call('ZADD', set, now + delay_ms, id)
  if redis.call('ZRANGE', set, 0, 0)[1] == id then redis.call('PUBLISH', key.due, delay_ms) end
end
