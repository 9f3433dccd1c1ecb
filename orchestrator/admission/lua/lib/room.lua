-- USES config entry limits
-- room: whether one more may run, for each scope by itself and for all at once; with the limit
-- and what is in use. A pool has room within its limit and within what its live workers offer.
local function global_room()
  local used = redis.call('ZCARD', key.leases)
  return used < config.global, config.global, used
end

local function pool_room(pool, used)
  used = used or redis.call('SCARD', key.slots_pool .. pool)
  local limit = limit_of('pool', pool)
  return used < limit, limit, used
end

local function worker_room(pool, used)
  local offered = tonumber(redis.call('HGET', key.capacity, pool) or '0')
  used = used or redis.call('SCARD', key.slots_pool .. pool)
  return used < offered, offered, used
end

local function agent_room(agent)
  local limit = limit_of('agent', agent)
  if not limit then return true end
  local used = redis.call('SCARD', key.slots_agent .. agent)
  return used < limit, limit, used
end

local function tenant_room(tenant)
  local used, limit = redis.call('SCARD', key.slots_tenant .. tenant), limit_of('tenant', tenant)
  return used < limit, limit, used
end

local function session_room(tenant, session)
  local tree = tree_of(tenant, session)
  local used, limit = redis.call('SCARD', key.slots_session .. tree), limit_of('session', tree)
  return used < limit, limit, used
end

-- The first scope without room, its limit and use; nil when all have some.
local function full_scope(entry)
  local free, limit, used = session_room(entry.tenant, entry.session)
  if not free then return 'session', limit, used end
  free, limit, used = tenant_room(entry.tenant)
  if not free then return 'tenant', limit, used end
  free, limit, used = agent_room(entry.agent)
  if not free then return 'agent', limit, used end
  free, limit, used = pool_room(entry.pool)
  if not free then return 'pool', limit, used end
  local in_pool = used
  free, limit, used = global_room()
  if not free then return 'global', limit, used end
  free, limit, used = worker_room(entry.pool, in_pool)
  if not free then return 'workers', limit, used end
  return nil
end
