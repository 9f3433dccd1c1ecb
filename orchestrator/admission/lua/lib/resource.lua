-- policy_of: what is declared of a resource, as numbers; of one that nobody declared, the default.
-- scope_of: what shares buckets and a breaker: a resource, or one for each tenant.
local DIMENSIONS = {'requests', 'input_tokens', 'output_tokens', 'usd'}

local function policy_of(resource)
  local flat = redis.call('HGETALL', key.resource .. resource)
  if #flat == 0 then flat = redis.call('HGETALL', key.resource .. '*') end
  local policy = {}
  for i = 1, #flat, 2 do policy[flat[i]] = tonumber(flat[i + 1]) end
  return policy
end

local function scope_of(resource, tenant, policy)
  return policy.per_tenant == 1 and resource .. ' ' .. tenant or resource
end
