-- USES config entry
-- room: whether one more may run, for each scope by itself and for all at once.
-- A pool has room within its limit and within what its live workers offer.
local function global_room()
  local used = redis.call('ZCARD', key.leases)
  return used < config.global, config.global, used
end

local function pool_room(pool)
  local used = redis.call('SCARD', key.slots_pool .. pool)
  return used < config.pool, config.pool, used
end

local function worker_room(pool)
  local offered = tonumber(redis.call('HGET', key.capacity, pool) or '0')
  local used = redis.call('SCARD', key.slots_pool .. pool)
  return used < offered, offered, used
end

local function tenant_room(tenant)
  local used = redis.call('SCARD', key.slots_tenant .. tenant)
  return used < config.tenant, config.tenant, used
end

local function session_room(tenant, session)
  local used = redis.call('SCARD', key.slots_session .. tree_of(tenant, session))
  return used < config.session, config.session, used
end

-- The first scope without room, its limit and use; nil when all have some.
local function full_scope(entry)
  local checks = {{'session', session_room, entry.tenant, entry.session},
                  {'tenant', tenant_room, entry.tenant},
                  {'pool', pool_room, entry.pool}, {'global', global_room},
                  {'workers', worker_room, entry.pool}}
  for _, check in ipairs(checks) do
    local free, limit, used = check[2](check[3], check[4])
    if not free then return check[1], limit, used end
  end
  return nil
end
