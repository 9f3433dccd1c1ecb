-- USES now entry refresh
-- take_slot: hold the right to run until the lease ends.
-- free_slot: give it back and wake whoever was parked for want of it, in every pool.
local function take_slot(id, entry, lease_ms)
  redis.call('ZADD', key.leases, now + lease_ms, id)
  redis.call('SADD', key.slots_session .. tree_of(entry.tenant, entry.session), id)
  redis.call('SADD', key.slots_tenant .. entry.tenant, id)
  redis.call('SADD', key.slots_pool .. entry.pool, id)
end

local function free_slot(id, entry)
  redis.call('ZREM', key.leases, id)
  redis.call('SREM', key.slots_session .. tree_of(entry.tenant, entry.session), id)
  redis.call('SREM', key.slots_tenant .. entry.tenant, id)
  redis.call('SREM', key.slots_pool .. entry.pool, id)
  for _, pool in ipairs(redis.call('SMEMBERS', key.pools)) do
    refresh(pool, entry.tenant, entry.session)
  end
end
