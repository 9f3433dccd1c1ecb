-- adopt: learn of live instances from PostgreSQL, without asking for room: what runs, runs.
--
-- Guarantee  serves an empty gate as well as one that lost single instances; what the gate knows
--            of the same or a newer attempt at the same kind of place stands.
-- KEYS    gate
-- ARGV    id session tenant pool agent priority depth parent budget attempt cost state delay_ms
-- ARGV    ttl_ms worker
-- REPLY   place
-- USES    now config entry slots refresh park drop budget
if redis.call('EXISTS', key.generation) + redis.call('EXISTS', key.rebuilding) == 0 then
  return redis.error_reply('GATE_EMPTY the gate must be rebuilt')
end

local places = {running = 'dispatched', waiting = 'suspended', queued = 'queued'}
local known = load(id)
if known and known.attempt > tonumber(attempt) then return known.place end
if known and known.attempt == tonumber(attempt) and known.place == places[state] then
  -- It is where it should be: only its lease may have to be longer.
  local set = state == 'running' and 'leases' or known.place
  if set ~= 'queued' then redis.call('ZADD', key[set], 'XX', now + config.lease_ms, id) end
  return known.place
end
if known then
  leave(id, known)
  if known.attempt ~= tonumber(attempt) then known.stop = '' end
end

local entry = known or {session = session, tenant = tenant, pool = pool, agent = agent,
                        priority = tonumber(priority)}
entry.place, entry.attempt, entry.cost = 'queued', tonumber(attempt), tonumber(cost)
entry.thread = state == 'waiting' and worker or ''
entry.expires = tonumber(ttl_ms) > 0 and now + tonumber(ttl_ms) or nil
create(id, entry)
budget_adopt(id, entry, depth, parent, budget)
if state == 'running' then
  entry.place = 'dispatched'
  redis.call('HSET', key.instance .. id, 'place', entry.place, 'held_since', now, 'charge', '')
  take_slot(id, entry, config.lease_ms)
  refresh_lines(tenant, session)
elseif state == 'waiting' then
  move(id, entry, 'suspended')
  redis.call('ZADD', key.suspended, now + config.lease_ms, id)
elseif tonumber(delay_ms) > 0 then
  delay(id, entry, tonumber(delay_ms))
else
  park(id, entry, entry.attempt > 0)
end
return entry.place
