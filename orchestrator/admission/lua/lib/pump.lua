-- USES room entry hand_out
-- pump: hand out what may run now, most urgent and longest waiting first, at most `budget`
-- steps. Answers 1 when it stopped for the budget, so that the caller comes again.
local function first_pool()
  local best, best_rank
  for _, pool in ipairs(redis.call('SMEMBERS', key.pools)) do
    if pool_room(pool) then
      local first = redis.call('ZRANGE', key.tenants .. pool, 0, 0, 'WITHSCORES')
      local rank = tonumber(first[2])
      if rank and (not best or rank < best_rank) then
        best, best_rank = {pool = pool, tenant = first[1]}, rank
      end
    end
  end
  return best
end

local function hand_out_first(pool, tenant)
  local session = redis.call('ZRANGE', key.sessions .. pool .. ':' .. tenant, 0, 0)[1]
  if not session or not tenant_room(tenant) then
    redis.call('ZREM', key.tenants .. pool, tenant)
  elseif not session_room(session) then
    refresh(pool, tenant, session)
  else
    local flow = key.flow .. pool .. ':' .. session
    local id = redis.call('ZRANGE', flow, 0, 0)[1]
    local entry = load(id)
    unpark(id, entry)
    hand_out(id, entry)
  end
end

local function pump(budget)
  for _ = 1, budget do
    if not global_room() then return 0 end
    local best = first_pool()
    if not best then return 0 end
    hand_out_first(best.pool, best.tenant)
  end
  return 1
end
