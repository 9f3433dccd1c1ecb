-- suspend: a running attempt waits and gives its slot back. Either a thread of its worker stays with
-- it, as long as that is renewed, or nobody does (`worker` is ''): then it stays until it is woken by
-- what it waits for, or after `wake_ms` (or '').
--
-- Guarantee  nothing changes unless this very attempt holds a slot. With nobody there it is in line
--            again at once when what it waits for is over already: `ready` says so, or the gate
--            knows by now. Of its targets, `ended` are those that PostgreSQL has seen ended.
-- KEYS    gate
-- ARGV    id attempt worker wake_ms ready ended...
-- REPLY   done more
-- USES    freely now ready config entry slots waits timers locks drop budget_leave pump
local entry = load(id)
attempt = tonumber(attempt)
if not entry or entry.attempt ~= attempt then return {0, 0} end
local is_done = entry.place == 'suspended' or (entry.place == 'queued' and worker == '')
if is_done and entry.thread == worker then return {1, 0} end
if entry.place ~= 'dispatched' then return {0, 0} end

if worker ~= '' then
  free_slot(id, entry)
  redis.call('ZADD', key.suspended, now + config.lease_ms, id)
  redis.call('HSET', key.instance .. id, 'thread', worker)
  move(id, entry, 'suspended')
  return {1, pump(4)}
end
if entry.stop ~= '' then
  -- Its row has ended meanwhile, and there is no code any more that would have to stop.
  drop(id, entry)
  budget_leave(id)
  return {1, pump(4)}
end

free_slot(id, entry)
redis.call('ZADD', key.suspended, '+inf', id)
redis.call('HSET', key.instance .. id, 'thread', '')
move(id, entry, 'suspended')
for _, target in ipairs(ended) do lose_edge(id, target) end
entry = load(id)
if entry.place == 'suspended' then
  local begun, kind, needs = unpack(redis.call('HMGET', key.wait .. id, 'attempt', 'kind', 'needs'))
  local left = tonumber(wake_ms) or math.huge
  local woken = redis.call('HGET', key.instance .. id, 'woken')
  if kind == 'lock' then left = math.min(left, locks_open_in()) end
  if ready == '1' or left <= 0 or woken == tostring(attempt) then
    wake(id, entry)
  elseif tonumber(begun) == attempt and not needs then
    end_waiting(id)
  else
    -- What an earlier attempt waited for, this one has decided otherwise about.
    if tonumber(begun) ~= attempt then stop_waiting(id) end
    if left < math.huge then set_time(key.timers, id, left) end
  end
end
return {1, pump(4)}
