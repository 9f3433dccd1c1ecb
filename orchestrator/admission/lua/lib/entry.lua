-- tree_of: a session in its tenant, as one name that no other pair can have.
-- load: what the gate knows of an instance, or nil.
-- create: make it known, at a place.
-- move: it is at another place now.
-- is_asleep: whether it waits and nobody stays with it.
local function tree_of(tenant, session)
  return #tenant .. ' ' .. tenant .. session
end

local function load(id)
  local v = redis.call('HMGET', key.instance .. id, 'place', 'attempt', 'session', 'tenant',
                       'pool', 'agent', 'priority', 'thread', 'stop', 'cost', 'expires', 'line',
                       'class', 'sequence', 'since', 'held_since', 'charge', 'spent',
                       'paused', 'preemptible', 'displaced')
  if not v[1] then return nil end
  return {place = v[1], attempt = tonumber(v[2]), session = v[3], tenant = v[4], pool = v[5],
          agent = v[6], priority = tonumber(v[7]), thread = v[8] or '', stop = v[9] or '',
          cost = tonumber(v[10]), expires = tonumber(v[11]), line = v[12],
          class = tonumber(v[13]), sequence = tonumber(v[14]), since = tonumber(v[15]),
          held_since = tonumber(v[16]), charge = tonumber(v[17]), spent = tonumber(v[18]),
          paused = v[19] == '1', preemptible = v[20], displaced = tonumber(v[21])}
end

local function create(id, entry)
  redis.call('HSET', key.instance .. id, 'place', entry.place, 'attempt', entry.attempt,
             'session', entry.session, 'tenant', entry.tenant, 'pool', entry.pool,
             'agent', entry.agent, 'priority', entry.priority, 'thread', entry.thread or '',
             'stop', entry.stop or '', 'cost', entry.cost or '', 'expires', entry.expires or '',
             'preemptible', entry.preemptible or '1')
end

local function move(id, entry, place)
  entry.place = place
  redis.call('HSET', key.instance .. id, 'place', place)
end

local function is_asleep(entry)
  return entry.thread == '' and (entry.place == 'suspended' or entry.place == 'held')
end
