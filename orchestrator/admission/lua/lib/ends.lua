-- USES now waits
-- tell_end: an instance has ended for good: whoever listens is told at once, those who wait in the
-- gate by `wake_ended`.
-- wake_ended: take from those who wait for ended ones what they need no more, at most `budget` of
-- them. Answers 1 when there are more, so that the caller comes again.
local function tell_end(id)
  redis.call('PUBLISH', key.done .. id, '')
  if redis.call('EXISTS', key.waiters .. id) == 1 then
    redis.call('ZADD', key.ended, 'NX', now, id)
  end
end

local function wake_ended(budget)
  while true do
    local target = redis.call('ZRANGE', key.ended, 0, 0)[1]
    if not target then return 0 end
    if budget <= 0 then return 1 end
    local ids = redis.call('ZRANGE', key.waiters .. target, 0, budget - 1)
    for _, id in ipairs(ids) do lose_edge(id, target) end
    budget = budget - #ids - 1
    if redis.call('EXISTS', key.waiters .. target) == 0 then redis.call('ZREM', key.ended, target) end
  end
end
