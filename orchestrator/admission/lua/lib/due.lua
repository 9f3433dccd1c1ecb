-- USES now
-- is_due: whether the time of anything in a set of times has come.
local function is_due(set)
  return redis.call('ZCOUNT', set, '-inf', now) > 0
end
