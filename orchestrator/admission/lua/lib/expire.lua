-- USES now entry drop workers
-- expire: end leases that have run out, at most `budget` of each kind. A slot is free at once;
-- what becomes of its instance is for the sweep, which asks PostgreSQL. Answers how many ended.
local function expire_in(set, budget)
  local ids = redis.call('ZRANGEBYSCORE', key[set], '-inf', now, 'LIMIT', 0, budget)
  for _, id in ipairs(ids) do
    local entry = load(id)
    if entry then
      leave(id, entry)
      redis.call('ZADD', key.expired, now, id)
      move(id, entry, 'expired')
    else
      redis.call('ZREM', key[set], id)
    end
  end
  return #ids
end

local function expire(budget)
  local ended = expire_in('leases', budget) + expire_in('reserved', budget)
      + expire_in('suspended', budget)
  local gone = redis.call('ZRANGEBYSCORE', key.workers, '-inf', now, 'LIMIT', 0, budget)
  for _, worker in ipairs(gone) do remove_worker(worker) end
  return ended
end
