-- tree_of: a session in its tenant, as one name that no other pair can have.
-- load: what the gate knows of an instance, or nil.
-- create: make it known, at a place.
local function tree_of(tenant, session)
  return #tenant .. ' ' .. tenant .. session
end

local function load(id)
  local v = redis.call('HMGET', key.instance .. id, 'place', 'attempt', 'session', 'tenant',
                       'pool', 'agent', 'priority', 'thread', 'stop')
  if not v[1] then return nil end
  return {place = v[1], attempt = tonumber(v[2]), session = v[3], tenant = v[4], pool = v[5],
          agent = v[6], priority = tonumber(v[7]), thread = v[8] or '', stop = v[9] or ''}
end

local function create(id, entry)
  redis.call('HSET', key.instance .. id, 'place', entry.place, 'attempt', entry.attempt,
             'session', entry.session, 'tenant', entry.tenant, 'pool', entry.pool,
             'agent', entry.agent, 'priority', entry.priority, 'thread', entry.thread or '',
             'stop', '')
end

local function move(id, entry, place)
  entry.place = place
  redis.call('HSET', key.instance .. id, 'place', place)
end
