-- USES now limits room entry flow line refresh cost drain share park hand_out displace
-- pump: hand out what may run now, the most urgent first and by fair shares, at most `budget`
-- instances. Answers 1 when it stopped before all was done, so that the caller comes again.
local function first_line()
  local best, best_score
  for _, pool in ipairs(redis.call('SMEMBERS', key.pools)) do
    local first = redis.call('ZRANGE', key.ready .. pool, 0, 0, 'WITHSCORES')
    local line, score = first[1], tonumber(first[2])
    if line and (not best or score < best_score or (score == best_score and line < best)) then
      local free, _, used = pool_room(pool)
      if free and worker_room(pool, used) then best, best_score = line, score end
    end
  end
  return best
end

-- The tags of a line, a tenant in it and a session of that grow by what it is to cost. A line's by as
-- much less as there are tenants in it with room: so each has its share, whatever line it waits in.
local function charge_all(line, entry)
  local mean = typical(entry)
  local cost, weight = estimate(entry, mean), weight_of('tenant', entry.tenant)
  local name, tree = line .. ':' .. entry.tenant, tree_of(entry.tenant, entry.session)
  charge(key.shares_sessions .. name, entry.class, entry.session,
         cost / weight_of('session', tree))
  charge(key.shares_tenants .. line, entry.class, entry.tenant,
         cost / weight, now, 'served' .. entry.class .. entry.tenant)
  local found = redis.call('ZMSCORE', key.shares, line, '')
  local start = math.max(tonumber(found[1]), tonumber(found[2]) or 0)
  local share = mean / weight / redis.call('ZCARD', key.tenants .. line)
  redis.call('ZADD', key.shares, start + share, line, start, '')
  return cost
end

-- Whether the slot that it takes is the last one of its session or tenant.
local function takes_the_last(entry)
  local _, limit, used = session_room(entry.tenant, entry.session)
  local _, tenant_limit, tenant_used = tenant_room(entry.tenant)
  return used + 1 >= limit or tenant_used + 1 >= tenant_limit
end

local function serve(id, entry, is_last)
  local line, tenant, session = entry.line, entry.tenant, entry.session
  local cost = charge_all(line, entry)
  leave_line(id, entry)
  drained(tenant)
  hand_out(id, entry, cost)
  refresh(line, tenant, session)
  if is_last then refresh_lines(tenant, session, line) end
end

-- Answers whether an instance was handed out; if not, a stale entry of a ready set was put right.
local function hand_out_first(line)
  local tenant = redis.call('ZRANGE', key.tenants .. line, 0, 0)[1]
  if not tenant or not is_open(line) then
    refresh_line(line)
    return false
  end
  local session = redis.call('ZRANGE', key.sessions .. line .. ':' .. tenant, 0, 0)[1]
  local id = redis.call('ZRANGE', key.flow .. flow_of(line, tenant, session), 0, 0)[1]
  local entry = load(id)
  read_overrides(entry)
  local free, limit, used = session_room(tenant, session)
  local tenant_free, tenant_limit, tenant_used = tenant_room(tenant)
  if not free or not tenant_free then
    -- A limit has been lowered.
    refresh(line, tenant, session)
    return false
  end
  if not agent_room(entry.agent) then
    -- Its kind was given a limit while it waited; from now on it waits with its kind.
    rank_again(id, entry, entry.class, line_of(entry))
    return false
  end

  local ahead, promised = promised_before(entry)
  if ahead then
    serve(ahead, promised, takes_the_last(promised))
  else
    serve(id, entry, used + 1 >= limit or tenant_used + 1 >= tenant_limit)
  end
  return true
end

local function hand_out_all(budget)
  -- Stale entries are cheap, and each is met once; but one call must not meet them without end.
  local steps = budget * 8 + 32
  while budget > 0 and steps > 0 do
    if not global_room() then return 0 end
    local line = first_line()
    if not line then return 0 end
    steps = steps - 1
    if hand_out_first(line) then budget = budget - 1 end
  end
  return 1
end

local function pump(budget)
  local more = hand_out_all(budget)
  if more == 0 then displace() end
  return more
end
