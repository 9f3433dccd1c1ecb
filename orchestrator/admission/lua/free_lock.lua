-- free_lock: a holder is done with a lock; the first in line gets it.
--
-- Guarantee  only the claim that holds it gives it up.
-- KEYS    gate
-- ARGV    id claim lock
-- REPLY   freed
-- USES    freely now ready entry nodes rouse locks pump
local entry = load(id)
if not entry then return 0 end
local node = lock_node(entry.tenant, lock)
local by, under = unpack(redis.call('HMGET', key.holder .. node, 'holder', 'claim'))
if by ~= id or under ~= claim then return 0 end
free_lock(node, id)
if roused then pump(4) end
return 1
