-- adopt: learn of live instances from PostgreSQL, without asking for room: what runs, runs.
--
-- Guarantee  serves an empty gate as well as one that lost single instances; what the gate knows
--            of the same or a newer attempt at the same kind of place stands. One that waits with
--            nobody there (`wait` is its wait, as JSON) is where it was, with its locks and all it
--            waits for; unless it is in line by now, or about to go to sleep.
-- KEYS    gate
-- ARGV    id session tenant pool agent priority depth parent budget attempt cost state delay_ms
-- ARGV    ttl_ms worker wait preemptible
-- REPLY   place
-- USES    now learn config entry slots refresh park drop budget sleep
attempt, delay_ms = tonumber(attempt), tonumber(delay_ms)
local known, sleeps = load(id), wait ~= '' and cjson.decode(wait) or {}
local is_held = sleeps.kind == 'after' and attempt == 0
local is_asleep_there = wait ~= '' and (state == 'waiting' or is_held)
local place = is_held and 'held'
    or ({running = 'dispatched', waiting = 'suspended', queued = 'queued'})[state]
if known and known.attempt > attempt then return known.place end
if known and known.attempt == attempt then
  if known.place == place then
    -- It is where it should be: only its lease may have to be longer.
    local set = place == 'dispatched' and 'leases' or place
    if place == 'dispatched' or (place == 'suspended' and known.thread ~= '') then
      redis.call('ZADD', key[set], 'XX', now + config.lease_ms, id)
    end
    return place
  end
  if is_asleep_there and known.thread == '' and known.place ~= 'reserved'
      and known.place ~= 'expired' then
    return known.place
  end
end
if known then
  leave(id, known)
  if known.attempt ~= attempt then known.stop = '' end
end

local entry = known or {session = session, tenant = tenant, pool = pool, agent = agent,
                        priority = tonumber(priority), preemptible = preemptible}
entry.place, entry.attempt, entry.cost = 'queued', attempt, tonumber(cost)
entry.thread = state == 'waiting' and not is_asleep_there and worker or ''
entry.expires = tonumber(ttl_ms) > 0 and now + tonumber(ttl_ms) or nil
create(id, entry)
budget_adopt(id, entry, depth, parent, budget)
keep_locks(id, entry, sleeps)
if is_held then
  hold(id, entry, sleeps.needs, sleeps.targets, delay_ms)
elseif is_asleep_there then
  go_to_sleep(id, entry, sleeps)
elseif state == 'running' then
  entry.place = 'dispatched'
  redis.call('HSET', key.instance .. id, 'place', entry.place, 'held_since', now, 'charge', '')
  take_slot(id, entry, config.lease_ms)
  may_give_way(id, entry)
  refresh_lines(tenant, session)
elseif state == 'waiting' then
  move(id, entry, 'suspended')
  redis.call('ZADD', key.suspended, now + config.lease_ms, id)
elseif delay_ms > 0 then
  delay(id, entry, delay_ms)
else
  park(id, entry, attempt > 0)
end
return entry.place
