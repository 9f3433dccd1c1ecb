-- release: an attempt has ended and been settled; free its slot and hand out the next.
--
-- Guarantee  only the attempt that holds the place gives it up; whoever waits for the end is
--            told even where the place is gone already.
-- KEYS    gate
-- ARGV    id attempt
-- REPLY   more
-- USES    now ready entry drop expire promote pump
local entry = load(id)
if entry and entry.attempt == tonumber(attempt) then drop(id, entry) end
redis.call('PUBLISH', key.done .. id, '')
expire(4)
promote(2)
return pump(4)
