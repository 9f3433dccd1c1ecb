-- block: a running attempt waits for a limited time, and keeps its slot meanwhile.
--
-- Guarantee  it is no part of the wait graph, since its wait ends by itself; `stalls` counts it.
-- KEYS    gate
-- ARGV    id attempt claim
-- REPLY   done
-- USES    now ready entry waits
local entry = load(id)
if not entry or entry.attempt ~= tonumber(attempt) or entry.place ~= 'dispatched' then return 0 end
if wait_state(id, claim) then return 1 end
stop_waiting(id)
redis.call('HSET', key.wait .. id, 'claim', claim, 'kind', 'timed', 'since', now)
redis.call('ZADD', key.blocked, now, id)
return 1
