-- heartbeat: a worker process is alive; renew all its leases at once.
--
-- Guarantee  a lease is renewed only for the attempt that holds it. The reply names every
--            instance that the worker should not be running as far as the gate knows.
-- KEYS    gate
-- ARGV    worker pool capacity running...
-- REPLY   more next_due_ms displaced doubtful ids..., the first `displaced` of which are to give way,
-- REPLY   the next `doubtful` may be another's by now, and the rest have no lease that could be renewed
-- USES    freely now ready config entry workers expire promote ends pump
offer(worker, pool, tonumber(capacity))
redis.call('ZADD', key.workers, now + config.lease_ms, worker)

local doubtful, displaced, unheld = {}, {}, {}
for i = 1, #running, 2 do
  local id, attempt = running[i], tonumber(running[i + 1])
  local entry = load(id)
  if not entry or entry.attempt ~= attempt or entry.stop ~= '' then
    doubtful[#doubtful + 1] = id
  elseif entry.displaced == attempt and entry.place == 'dispatched' then
    displaced[#displaced + 1] = id
  end
  -- One that is to be stopped keeps its slot alive too: it is still running.
  local own = entry and entry.attempt == attempt
  local set = own and (entry.place == 'dispatched' and 'leases' or entry.place)
  if set == 'leases' or (set == 'suspended' and entry.thread ~= '') then
    redis.call('ZADD', key[set], 'XX', now + config.lease_ms, id)
  else
    unheld[#unheld + 1] = id
    if set == 'expired' then doubtful[#doubtful + 1] = id end
  end
end

expire(8)
local later = math.max(promote(8), wake_ended(8))
local more = math.max(later, pump(16))
local due
for _, set in ipairs({key.delayed, key.timers, key.closed}) do
  local first = tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
  if first then due = math.min(due or first, first) end
end
local reply = {more, due and math.max(0, due - now) or -1, #displaced, #doubtful}
for _, ids in ipairs({displaced, doubtful, unheld}) do
  for _, id in ipairs(ids) do reply[#reply + 1] = id end
end
return reply
