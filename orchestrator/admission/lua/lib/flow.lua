-- USES entry
-- flow: the instances of one session that wait in one line. A line and a tenant in it are there
-- as long as a flow of theirs is; with the last one ends what was counted for them.
-- flow_of: its name.
-- open_flow: there is one more, with the arrival of this number; answers whether it is new.
-- close_flow: it is empty.
local function flow_of(line, tenant, session)
  return line .. ' ' .. tree_of(tenant, session)
end

local function open_flow(line, tenant, session, sequence)
  if redis.call('SADD', key.flows, flow_of(line, tenant, session)) == 0 then return false end
  redis.call('SADD', key.pools, string.match(line, '^%S+'))
  if redis.call('HINCRBY', key.lines, line, 1) == 1 then
    local virtual = redis.call('ZSCORE', key.shares, '') or 0
    redis.call('ZADD', key.shares, virtual, line)
    redis.call('ZADD', key.shares_tenants .. line, sequence, 'period')
  end
  if redis.call('HINCRBY', key.tenant_lines .. tenant, line, 1) == 1 then
    redis.call('ZADD', key.shares_sessions .. line .. ':' .. tenant, sequence, 'period')
  end
  return true
end

local function close_flow(line, tenant, session)
  if redis.call('SREM', key.flows, flow_of(line, tenant, session)) == 0 then return end
  if redis.call('HINCRBY', key.tenant_lines .. tenant, line, -1) == 0 then
    redis.call('HDEL', key.tenant_lines .. tenant, line)
    redis.call('DEL', key.shares_sessions .. line .. ':' .. tenant)
  end
  if redis.call('HINCRBY', key.lines, line, -1) == 0 then
    redis.call('HDEL', key.lines, line)
    redis.call('DEL', key.shares_tenants .. line)
    redis.call('ZREM', key.shares, line)
    if redis.call('HLEN', key.lines) == 0 then redis.call('DEL', key.shares) end
  end
end
