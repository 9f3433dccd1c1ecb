-- USES entry
-- holders_of: some of the instances that hold the slots of a scope around an instance, at most
-- `most`. What live workers offer is held by those who run in their pool.
local function holders_of(scope, entry, most)
  if scope == 'global' then return redis.call('ZRANGE', key.leases, 0, most - 1) end
  local sets = {
    session = key.slots_session .. tree_of(entry.tenant, entry.session),
    tenant = key.slots_tenant .. entry.tenant,
    agent = key.slots_agent .. entry.agent,
    pool = key.slots_pool .. entry.pool,
    workers = key.slots_pool .. entry.pool,
  }
  if not sets[scope] then return {} end
  local ids = redis.call('SRANDMEMBER', sets[scope], most)
  table.sort(ids)
  return ids
end
