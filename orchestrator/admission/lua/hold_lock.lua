-- hold_lock: a holder says what it holds, in case the gate has forgotten.
--
-- Guarantee  of two who say that they hold a lock, the one with the newer token does.
-- KEYS    gate
-- ARGV    id attempt claim lock token
-- REPLY   held
-- USES    now ready entry nodes waits locks
local entry = load(id)
if not entry then return 0 end
local node = lock_node(entry.tenant, lock)
local by, under = unpack(redis.call('HMGET', key.holder .. node, 'holder', 'claim'))
if by == id and under == claim then return 1 end
if entry.attempt ~= tonumber(attempt) or entry.place == 'expired' then return 0 end
if not keep_lock(node, id, claim, token) then return 0 end
if wait_state(id, claim) then stop_waiting(id) end
-- Who waits for the lock may have come while nobody held it: the sweep looks whether it can end.
if redis.call('HEXISTS', key.wait .. id, 'needs') == 1 then
  redis.call('ZADD', key.unchecked, now, id)
end
return 1
