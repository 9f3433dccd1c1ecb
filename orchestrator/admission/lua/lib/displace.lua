-- USES now config entry limits room line
-- displace: for those of the urgent classes that wait for nothing but a slot, have the least
-- important give way, one for each: of the least urgent class, less urgent than the one that waits;
-- of the tenant with most slots for its weight; and of these the one that has done least.
-- promised_before: one for whom another gave way, which has room now, and is more urgent than this
-- one was made: aging does not win a slot that was freed for somebody else.
local MOST_URGENT, LOOKED_AT = 16, 64

local function limits_around(entry)
  local found = {}
  local function add(scope, _, limit, used)
    if limit then found[#found + 1] = {scope = scope, left = limit - used} end
  end
  add('session', session_room(entry.tenant, entry.session))
  add('tenant', tenant_room(entry.tenant))
  add('agent', agent_room(entry.agent))
  add('pool', pool_room(entry.pool))
  add('workers', worker_room(entry.pool))
  add('global', global_room())
  return found
end

local function shares(scope, one, other)
  if scope == 'global' then return true end
  if scope == 'session' then return one.tenant == other.tenant and one.session == other.session end
  local field = scope == 'workers' and 'pool' or scope
  return one[field] == other[field]
end

-- The scopes in which a slot has yet to be freed for it, when all have stopped that were told to and
-- those `before` it are served. nil where one slot would not be enough.
local function wanting(entry, leaving, before)
  local found = {}
  for _, bound in ipairs(limits_around(entry)) do
    local left = bound.left
    for _, one in ipairs(leaving) do left = left + (shares(bound.scope, one, entry) and 1 or 0) end
    for _, one in ipairs(before) do left = left - (shares(bound.scope, one, entry) and 1 or 0) end
    if left < 0 then return nil end
    if left == 0 then found[#found + 1] = bound.scope end
  end
  return found
end

-- Some that run where the entry wants to; with the least important first where they are in order.
local function candidates_around(entry, scope)
  local sets = {session = key.slots_session .. tree_of(entry.tenant, entry.session),
                tenant = key.slots_tenant .. entry.tenant, agent = key.slots_agent .. entry.agent}
  if sets[scope] then return redis.call('SRANDMEMBER', sets[scope], LOOKED_AT) end
  local pools = scope == 'global' and redis.call('HKEYS', key.capacity) or {entry.pool}
  local found = {}
  for _, pool in ipairs(pools) do
    for _, id in ipairs(redis.call('ZREVRANGE', key.candidates .. pool, 0, LOOKED_AT - 1)) do
      found[#found + 1] = id
    end
  end
  return found
end

local function may_displace(entry, one, scopes)
  if one.place ~= 'dispatched' or one.preemptible ~= '1' or one.stop ~= ''
      or one.displaced == one.attempt or one.priority <= entry.priority then
    return false
  end
  for _, scope in ipairs(scopes) do
    if not shares(scope, one, entry) then return false end
  end
  return true
end

-- Whether `one` is less important than `other`.
local function is_less(one, other)
  for _, field in ipairs({'priority', 'excess', 'held_since', 'id'}) do
    if one[field] ~= other[field] then return one[field] > other[field] end
  end
  return false
end

local function least_important(entry, scopes)
  local least
  for _, id in ipairs(candidates_around(entry, scopes[1])) do
    local one = load(id)
    if one and may_displace(entry, one, scopes) then
      one.id = id
      local slots = redis.call('SCARD', key.slots_tenant .. one.tenant)
      one.excess = slots / weight_of('tenant', one.tenant)
      if not least or is_less(one, least) then least = one end
    end
  end
  return least
end

local function tell_to_give_way(victim, id)
  redis.call('HSET', key.instance .. victim.id, 'displaced', victim.attempt)
  redis.call('ZADD', key.stopping, now, victim.id)
  redis.call('ZREM', key.candidates .. victim.pool, victim.id)
  redis.call('ZADD', key.promised, now, id)
  redis.call('PUBLISH', key.stop, victim.id .. ' PREEMPTED ' .. victim.attempt)
end

local function displace()
  local ids = redis.call('ZRANGE', key.urgent, 0, MOST_URGENT - 1)
  if not ids[1] then return end
  local leaving, before = {}, {}
  for _, id in ipairs(redis.call('ZRANGE', key.stopping, 0, LOOKED_AT - 1)) do
    leaving[#leaving + 1] = load(id)
  end
  for _, id in ipairs(ids) do
    local entry = load(id)
    read_overrides(entry)
    local scopes = not line_wait(entry.line) and wanting(entry, leaving, before)
    local victim = scopes and scopes[1] and least_important(entry, scopes)
    if victim then
      tell_to_give_way(victim, id)
      leaving[#leaving + 1] = victim
    end
    if victim or (scopes and not scopes[1]) then before[#before + 1] = entry end
  end
end

local function promised_before(entry)
  for _, id in ipairs(redis.call('ZRANGE', key.promised, 0, MOST_URGENT - 1)) do
    local one = load(id)
    if one.priority < entry.priority then
      read_overrides(one)
      if not full_scope(one) and not line_wait(one.line) then return id, one end
    end
  end
  return nil
end
