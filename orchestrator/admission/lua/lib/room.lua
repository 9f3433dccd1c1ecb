-- USES config
-- room: whether one more may run, for each scope by itself and for all at once.
-- A pool offers what its live workers offer, but never more than its limit.
local function global_room()
  local used = redis.call('ZCARD', key.leases)
  return used < config.global, config.global, used
end

local function pool_room(pool)
  local offered = tonumber(redis.call('HGET', key.capacity, pool) or '0')
  local used = redis.call('SCARD', key.slots_pool .. pool)
  local limit = math.min(config.pool, offered)
  return used < limit, limit, used
end

local function tenant_room(tenant)
  local used = redis.call('SCARD', key.slots_tenant .. tenant)
  return used < config.tenant, config.tenant, used
end

local function session_room(session)
  local used = redis.call('SCARD', key.slots_session .. session)
  return used < config.session, config.session, used
end

-- The first scope without room, its limit and use; nil when all have some.
local function full_scope(entry)
  local checks = {{'session', session_room, entry.session}, {'tenant', tenant_room, entry.tenant},
                  {'pool', pool_room, entry.pool}, {'global', global_room}}
  for _, check in ipairs(checks) do
    local free, limit, used = check[2](check[3])
    if not free then return check[1], limit, used end
  end
  return nil
end
