-- USES now entry park
-- promote: park delayed instances whose time has come, at most `budget`.
local function promote(budget)
  local ids = redis.call('ZRANGEBYSCORE', key.delayed, '-inf', now, 'LIMIT', 0, budget)
  for _, id in ipairs(ids) do
    redis.call('ZREM', key.delayed, id)
    park(id, load(id), true)
  end
end
