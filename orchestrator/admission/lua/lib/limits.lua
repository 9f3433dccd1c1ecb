-- USES config entry
-- read_overrides: what the configuration says of the names around an instance, in one call.
-- override: what it says of one name; false where it says nothing.
-- limit_of: how many may run in a scope (nil: as many as like), for this name or for all.
-- weight_of: the share of a tenant, or of a session by its tree, beside others; 1 by default.
local overrides = {}

local function read_overrides(entry)
  local tree = tree_of(entry.tenant, entry.session)
  if overrides['agent:' .. entry.agent] ~= nil and overrides['session:' .. tree] ~= nil
      and overrides['pool:' .. entry.pool] ~= nil then return end
  local fields = {'session:' .. tree, 'tenant:' .. entry.tenant, 'agent:' .. entry.agent,
                  'pool:' .. entry.pool, 'resources:' .. entry.agent,
                  'weight:session:' .. tree, 'weight:tenant:' .. entry.tenant}
  local values = redis.call('HMGET', key.config, unpack(fields))
  for i, field in ipairs(fields) do overrides[field] = values[i] end
end

local function override(field)
  if overrides[field] == nil then overrides[field] = redis.call('HGET', key.config, field) end
  return overrides[field]
end

local function limit_of(scope, name)
  return tonumber(override(scope .. ':' .. name)) or config[scope]
end

local function weight_of(kind, name)
  return tonumber(override('weight:' .. kind .. ':' .. name)) or 1
end
