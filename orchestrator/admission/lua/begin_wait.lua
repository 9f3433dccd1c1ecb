-- begin_wait: a running attempt waits until `needs` of the targets have ended (kind `ended`) or
-- answered (`reply`).
--
-- Guarantee  a wait that would never end is not begun: either it fails, or others do by the
--            policy. Repeated with its claim it changes nothing and tells what became of it; after
--            a loss of Redis it is begun anew.
-- REPLY   `waiting`, `over`, `unknown` (not this attempt's turn) or `deadlock`, then kind, name and
--         agent of each node of the cycle
-- KEYS    gate
-- ARGV    id attempt claim kind needs targets...
-- USES    now ready entry waits rouse victim pump
local BUDGET = 2000
local entry = load(id)
if not entry or entry.attempt ~= tonumber(attempt) or entry.stop ~= ''
    or (entry.place ~= 'dispatched' and entry.place ~= 'suspended') then
  return {'unknown'}
end
local known = look_at_wait(id, attempt, claim)
if known then return known end

stop_waiting(id)
needs = math.min(tonumber(needs), #targets)
if needs <= 0 then return {'over'} end
local cycle, too_many = close_cycle(id, needs, targets, BUDGET)
if cycle then return cycle end
begin_waiting(id, attempt, claim, kind, needs, targets, now)
if too_many then redis.call('ZADD', key.unchecked, now, id) end
if roused then pump(16) end
return {'waiting'}
