-- stalls: where every slot is held by attempts that only wait and keep it, while others are in
-- line. Nothing goes on there until one of these waits is over.
--
-- Guarantee  with `record`, a stall is remembered until it is gone; its `since` is the time when it
--            was first recorded, 0 before that.
-- KEYS    gate
-- ARGV    budget record
-- REPLY   now (scope name limit waiting since holder)...
-- USES    now ready entry room
local count = {}

local function look(scope, name, holder, free, limit, used, waiting)
  local at = count[scope .. ' ' .. name]
  if not at then
    at = {blocked = 0, holder = holder, scope = scope, name = name, limit = limit,
          is_full = not free, used = used, waiting = waiting}
    count[scope .. ' ' .. name] = at
  end
  at.blocked = at.blocked + 1
end

for _, id in ipairs(redis.call('ZRANGE', key.blocked, 0, tonumber(budget) - 1)) do
  local entry = load(id) -- its place takes it from here when it goes
  local everywhere = redis.call('ZCARD', key.backlog)
  local of_tenant = redis.call('SCARD', key.backlog_tenant .. entry.tenant)
  local function add(scope, name, waiting, free, limit, used)
    look(scope, name, id, free, limit, used, waiting)
  end
  local of_session = redis.call('SCARD', key.backlog_session .. tree_of(entry.tenant, entry.session))
  add('session', entry.tenant .. '/' .. entry.session, of_session,
      session_room(entry.tenant, entry.session))
  add('tenant', entry.tenant, of_tenant, tenant_room(entry.tenant))
  add('agent', entry.agent, everywhere, agent_room(entry.agent))
  add('pool', entry.pool, everywhere, pool_room(entry.pool))
  add('workers', entry.pool, everywhere, worker_room(entry.pool))
  add('global', '', everywhere, global_room())
end

local reply, known = {tostring(now)}, {}
for name, at in pairs(count) do
  if at.is_full and at.blocked >= at.used and at.waiting > 0 then
    if record == '1' then redis.call('HSETNX', key.stalled, name, now) end
    known[name] = true
    local since = redis.call('HGET', key.stalled, name) or '0'
    for _, word in ipairs({at.scope, at.name, tostring(at.limit), tostring(at.waiting), since,
                           at.holder}) do
      reply[#reply + 1] = word
    end
  end
end
if record == '1' then
  local recorded = redis.call('HGETALL', key.stalled)
  for i = 1, #recorded, 2 do
    if not known[recorded[i]] then redis.call('HDEL', key.stalled, recorded[i]) end
  end
end
return reply
