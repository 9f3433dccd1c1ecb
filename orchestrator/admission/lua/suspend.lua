-- suspend: a running attempt waits; its slot is free while a thread of its worker stays with it.
--
-- Guarantee  nothing changes unless this very attempt holds a slot.
-- KEYS    gate
-- ARGV    id attempt worker
-- REPLY   done more
-- USES    now ready config entry slots pump
local entry = load(id)
if not entry or entry.attempt ~= tonumber(attempt) then return {0, 0} end
if entry.place == 'suspended' and entry.thread == worker then return {1, 0} end
if entry.place ~= 'dispatched' then return {0, 0} end
free_slot(id, entry)
redis.call('ZADD', key.suspended, now + config.lease_ms, id)
redis.call('HSET', key.instance .. id, 'thread', worker)
move(id, entry, 'suspended')
return {1, pump(4)}
