-- release: an attempt is over; free its slot and hand out the next. `ended`: so is its instance, for
-- good; else that has ended otherwise or is another attempt's.
--
-- Guarantee  only the attempt that holds the place gives it up; whoever waits for the end is
--            told even where the place is gone already.
-- KEYS    gate
-- ARGV    id attempt ended
-- REPLY   more
-- USES    freely now ready config entry due slots cost drop budget_leave ends expire promote pump
local entry = load(id)
-- An attempt that was put back in line holds no place any more, unless its thread waits there; nor
-- does one that is asleep, unless it has ended.
local holds = entry and entry.attempt == tonumber(attempt)
    and (entry.place == 'dispatched' or entry.place == 'expired'
         or (entry.place == 'suspended' and (entry.thread ~= '' or ended == '1'))
         or (entry.place == 'queued' and entry.thread ~= ''))

-- The few that wait for it, if all of them wait for others as well; nil if there is more to do.
local function unmoved()
  local found = redis.call('ZRANGE', key.waiters .. id, 0, 3)
  if #found > 3 then return nil end
  for _, waiter in ipairs(found) do
    if tonumber(redis.call('HGET', key.wait .. waiter, 'needs')) < 2 then return nil end
  end
  return found
end

-- The common way, short because it makes few functions: the instance leaves nothing but its slot,
-- nobody is in the queue or woken by its end, and nothing has run out.
if holds and ended == '1' and entry.place == 'dispatched'
    and redis.call('EXISTS', key.backlog, key.closed, key.ended, key.wait .. id, key.locks .. id) == 0
    and redis.call('HEXISTS', key.account_of, id) == 0
    and not (is_due(key.leases) or is_due(key.suspended) or is_due(key.timers)
             or is_due(key.workers)) then
  local others = unmoved()
  if others then
    give_back(id, entry)
    measure(entry)
    for _, waiter in ipairs(others) do
      redis.call('SREM', key.targets .. waiter, id)
      redis.call('HINCRBY', key.wait .. waiter, 'needs', -1)
    end
    redis.call('DEL', key.instance .. id, key.waiters .. id)
    redis.call('PUBLISH', key.done .. id, '')
    return 0
  end
end

if holds then drop(id, entry) end
if holds then budget_leave(id) end
if ended == '1' then tell_end(id) end
local more = wake_ended(100)
expire(4)
promote(2)
return math.max(more, pump(4))
