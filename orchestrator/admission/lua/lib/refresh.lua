-- USES room
-- refresh: put a session, and its tenant, where their first waiting instance belongs.
-- Both stand in the ready sets only while they have room, so a full one is never scanned. Every
-- change of a flow and every freed slot passes here: this is the wake of everything parked.
local function refresh(pool, tenant, session)
  local sessions = key.sessions .. pool .. ':' .. tenant
  local flow = pool .. ' ' .. tree_of(tenant, session)
  local first = redis.call('ZRANGE', key.flow .. flow, 0, 0, 'WITHSCORES')
  if not first[1] then redis.call('SREM', key.flows, flow) end
  if first[1] and session_room(tenant, session) then
    redis.call('ZADD', sessions, first[2], session)
  else
    redis.call('ZREM', sessions, session)
  end

  local leader = redis.call('ZRANGE', sessions, 0, 0, 'WITHSCORES')
  if leader[1] and tenant_room(tenant) then
    redis.call('ZADD', key.tenants .. pool, leader[2], tenant)
  else
    redis.call('ZREM', key.tenants .. pool, tenant)
  end
end
