-- USES room flow line share
-- refresh: put a session, its tenant and their line where their first waiting instance belongs.
-- refresh_line: the same for the line alone.
-- refresh_lines: the same in all lines where the tenant waits; after its room has changed.
-- All stand in the ready sets only while they have room, so a full one is never scanned. Every
-- change of a flow and every freed slot passes here: this is the wake of everything parked.
local RANK = 2 ^ 45

-- A member that was not ready in this class is lifted.
local function stand(ready, shares, class, name, is_new)
  local before, tag = tonumber(redis.call('ZSCORE', ready, name)), nil
  if before and math.floor(before / CLASS) == class then
    tag = tonumber(redis.call('ZSCORE', shares, class .. name))
  else
    tag = lift(shares, class, name, is_new)
  end
  redis.call('ZADD', ready, in_class(class, tag), name)
end

local function refresh_line(line)
  local ready = key.ready .. string.match(line, '^%S+')
  local first = redis.call('ZRANGE', key.tenants .. line, 0, 0, 'WITHSCORES')
  if first[1] and is_open(line) then
    local tag = tonumber(redis.call('ZSCORE', key.shares, line))
    redis.call('ZADD', ready, in_class(math.floor(first[2] / CLASS), tag), line)
  else
    redis.call('ZREM', ready, line)
    -- Once the breaker may be half open, `promote` looks again.
    local wait_ms = first[1] and line_wait(line)
    if wait_ms then redis.call('ZADD', key.closed, now + wait_ms, line) end
  end
end

local function refresh(line, tenant, session, is_new)
  local name = line .. ':' .. tenant
  local sessions = key.sessions .. name
  local first = redis.call('ZRANGE', key.flow .. flow_of(line, tenant, session), 0, 0,
                           'WITHSCORES')
  if not first[1] then close_flow(line, tenant, session) end
  if first[1] and session_room(tenant, session) then
    stand(sessions, key.shares_sessions .. name, math.floor(first[2] / RANK), session, is_new)
  else
    redis.call('ZREM', sessions, session)
  end

  local leader = redis.call('ZRANGE', sessions, 0, 0, 'WITHSCORES')
  if leader[1] and tenant_room(tenant) then
    local class = math.floor(leader[2] / CLASS)
    stand(key.tenants .. line, key.shares_tenants .. line, class, tenant, is_new)
  else
    redis.call('ZREM', key.tenants .. line, tenant)
  end
  refresh_line(line)
end

local function refresh_lines(tenant, session, but)
  for _, line in ipairs(redis.call('HKEYS', key.tenant_lines .. tenant)) do
    if line ~= but then refresh(line, tenant, session) end
  end
end
