-- USES now entry limits room cost refresh
-- take_slot: hold the right to run until the lease ends.
-- may_give_way: from now on something more urgent may displace it.
-- give_back: hold it no more.
-- free_slot: the same; settle what it cost, and wake whoever was parked for want of it.
local function take_slot(id, entry, lease_ms)
  redis.call('ZADD', key.leases, now + lease_ms, id)
  redis.call('SADD', key.slots_session .. tree_of(entry.tenant, entry.session), id)
  redis.call('SADD', key.slots_tenant .. entry.tenant, id)
  redis.call('SADD', key.slots_agent .. entry.agent, id)
  redis.call('SADD', key.slots_pool .. entry.pool, id)
end

-- The least important stands last: of the least urgent class the one that has done least.
local function may_give_way(id, entry)
  if entry.preemptible ~= '1' then return end
  redis.call('ZADD', key.candidates .. entry.pool, entry.priority * 2 ^ 44 + now, id)
end

local function give_back(id, entry)
  redis.call('ZREM', key.leases, id)
  redis.call('SREM', key.slots_session .. tree_of(entry.tenant, entry.session), id)
  redis.call('SREM', key.slots_tenant .. entry.tenant, id)
  redis.call('SREM', key.slots_agent .. entry.agent, id)
  redis.call('SREM', key.slots_pool .. entry.pool, id)
  redis.call('ZREM', key.candidates .. entry.pool, id)
  redis.call('ZREM', key.stopping, id)
end

local function free_slot(id, entry)
  give_back(id, entry)
  read_overrides(entry)
  if entry.place == 'dispatched' then settle(entry) end

  -- Those of a tenant or a session that was not full have not been parked for it.
  local _, limit, used = session_room(entry.tenant, entry.session)
  local _, tenant_limit, tenant_used = tenant_room(entry.tenant)
  if used == limit - 1 or tenant_used == tenant_limit - 1 then
    refresh_lines(entry.tenant, entry.session)
  end
  if limit_of('agent', entry.agent) then
    for _, pool in ipairs(redis.call('SMEMBERS', key.pools)) do
      refresh_line(pool .. ' @' .. entry.agent)
    end
  end
end
