-- take_lock: a running attempt wants a lock of its tenant, or asks again whether it has it.
--
-- Guarantee  one holder at a time, in the order of class and asking; a wait for it that would never
--            end is not begun. A lock is held as long as its holder has a place here, and each
--            holder's token is greater than any before. Repeated with its claim it changes
--            nothing.
-- REPLY   `held` and the token; `waiting`; `unknown` (not this attempt's turn); `full` (it holds too
--         many); or `deadlock`, then kind, name and agent of each node of the cycle
-- KEYS    gate
-- ARGV    id attempt claim lock
-- USES    now ready entry nodes waits rouse locks victim pump
local BUDGET, MOST_LOCKS = 2000, 100
local entry = load(id)
if not entry or entry.attempt ~= tonumber(attempt) or entry.stop ~= ''
    or (entry.place ~= 'dispatched' and entry.place ~= 'suspended') then
  return {'unknown'}
end
local node = lock_node(entry.tenant, lock)
local function holder()
  return unpack(redis.call('HMGET', key.holder .. node, 'holder', 'claim', 'token'))
end

hand_on(node)
if roused then pump(4) end
local by, under, token = holder()
if by == id and under == claim then return {'held', token} end
local known = look_at_wait(id, attempt, claim)
if known then return known end

stop_waiting(id)
if redis.call('SCARD', key.locks .. id) >= MOST_LOCKS then return {'full'} end
if not by and not locks_closed() then
  token = new_token()
  give_lock(node, id, claim, token)
  return {'held', token}
end
local cycle, too_many = close_cycle(id, 1, {node}, BUDGET)
if cycle then return cycle end
begin_waiting(id, attempt, claim, 'lock', 1, {node}, lock_rank(entry))
if too_many then redis.call('ZADD', key.unchecked, now, id) end
if roused then pump(16) end
return {'waiting'}
