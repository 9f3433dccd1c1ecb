-- policy_of: what is declared of a resource, as numbers, with a list of its buckets; of one that
-- nobody declared, the default.
-- scope_of: what shares buckets and a breaker: a resource, or one for each tenant.
-- keep: have a key kept for at least this long. Mostly it is already, and to look is cheaper than
-- to write.
local DIMENSIONS = {'requests', 'input_tokens', 'output_tokens', 'usd'}
local UNKNOWN = {buckets = {}}

local function policy_of(resource)
  local packed = redis.call('GET', key.resource .. resource)
      or redis.call('GET', key.resource .. '*')
  return packed and cmsgpack.unpack(packed) or UNKNOWN
end

local function scope_of(resource, tenant, policy)
  return policy.per_tenant == 1 and resource .. ' ' .. tenant or resource
end

local function keep(name, least_ms)
  if redis.call('PTTL', name) < least_ms then redis.call('PEXPIRE', name, least_ms * 2) end
end
