-- USES room entry hand_out
-- pump: hand out what may run now, most urgent and longest waiting first, at most `budget`
-- instances. Answers 1 when it stopped before all was done, so that the caller comes again.
local function first_pool()
  local best, best_rank
  for _, pool in ipairs(redis.call('SMEMBERS', key.pools)) do
    if pool_room(pool) and worker_room(pool) then
      local first = redis.call('ZRANGE', key.tenants .. pool, 0, 0, 'WITHSCORES')
      local rank = tonumber(first[2])
      if rank and (not best or rank < best_rank) then
        best, best_rank = {pool = pool, tenant = first[1]}, rank
      end
    end
  end
  return best
end

-- Answers whether an instance was handed out; if not, a stale entry of a ready set was put right.
local function hand_out_first(pool, tenant)
  local session = redis.call('ZRANGE', key.sessions .. pool .. ':' .. tenant, 0, 0)[1]
  if not session or not tenant_room(tenant) then
    redis.call('ZREM', key.tenants .. pool, tenant)
    return false
  end
  local flow = key.flow .. pool .. ' ' .. tree_of(tenant, session)
  local id = redis.call('ZRANGE', flow, 0, 0)[1]
  if not id or not session_room(tenant, session) then
    refresh(pool, tenant, session)
    return false
  end
  local entry = load(id)
  unpark(id, entry)
  hand_out(id, entry)
  return true
end

local function pump(budget)
  -- Stale entries are cheap, and each is met once; but one call must not meet them without end.
  local steps = budget * 8 + 32
  while budget > 0 and steps > 0 do
    if not global_room() then return 0 end
    local best = first_pool()
    if not best then return 0 end
    steps = steps - 1
    if hand_out_first(best.pool, best.tenant) then budget = budget - 1 end
  end
  return 1
end
