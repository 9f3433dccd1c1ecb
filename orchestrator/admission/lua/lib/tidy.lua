-- USES entry flow
-- tidy: forget some tags of those who are away. A tag that the virtual time has reached says
-- nothing any more: whoever comes back is lifted to that time anyway. One who holds a slot is not
-- forgotten, because what that costs is still to be settled.
local SAMPLE = 16

local function tidy_set(set, is_away)
  local virtual = redis.call('ZMSCORE', set, '0', '1', '2', '3', '4')
  for _, member in ipairs(redis.call('ZRANDMEMBER', set, SAMPLE)) do
    local class, name = string.match(member, '^(%d)(.+)$')
    local tag = class and redis.call('ZSCORE', set, member)
    if tag and tonumber(tag) <= (tonumber(virtual[class + 1]) or 0) and is_away(name) then
      redis.call('ZREM', set, member, 'served' .. member)
    end
  end
end

local function tidy(line, tenant)
  tidy_set(key.shares_tenants .. line, function(name)
    return redis.call('EXISTS', key.slots_tenant .. name, key.tenant_lines .. name) == 0
  end)
  tidy_set(key.shares_sessions .. line .. ':' .. tenant, function(name)
    return redis.call('EXISTS', key.slots_session .. tree_of(tenant, name),
                      key.flow .. flow_of(line, tenant, name)) == 0
  end)
end
