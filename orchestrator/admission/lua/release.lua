-- release: an attempt has ended and been settled; free its slot and hand out the next.
--
-- Guarantee  only the attempt that holds the place gives it up; whoever waits for the end is
--            told even where the place is gone already.
-- KEYS    gate
-- ARGV    id attempt
-- REPLY   more
-- USES    now ready config entry due slots cost drop budget_leave expire promote pump
local entry = load(id)
-- An attempt that was put back in line holds no place any more, unless its thread waits there.
local holds = entry and entry.attempt == tonumber(attempt)
    and (entry.place == 'dispatched' or entry.place == 'suspended' or entry.place == 'expired'
         or (entry.place == 'queued' and entry.thread ~= ''))

-- The common way, short because it makes few functions: the instance leaves nothing but its slot,
-- nobody is in the queue, and nothing has run out.
if holds and entry.place == 'dispatched'
    and redis.call('EXISTS', key.backlog, key.closed, key.wait .. id, key.locks .. id) == 0
    and redis.call('HEXISTS', key.account_of, id) == 0
    and not (is_due(key.leases) or is_due(key.suspended) or is_due(key.workers)) then
  give_back(id, entry)
  measure(entry)
  redis.call('DEL', key.instance .. id)
  redis.call('PUBLISH', key.done .. id, '')
  return 0
end

if holds then drop(id, entry) end
if holds then budget_leave(id) end
redis.call('PUBLISH', key.done .. id, '')
expire(4)
promote(2)
return pump(4)
