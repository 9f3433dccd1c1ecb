-- tell_ended: these have ended, as PostgreSQL knows: whoever waits for one of them does so no more.
--
-- Guarantee  also for a gate that is being filled: then nobody is handed out before it opens.
-- KEYS    gate
-- ARGV    ids...
-- REPLY   more
-- USES    freely now learn ends pump
for _, id in ipairs(ids) do tell_end(id) end
local more = wake_ended(100)
if redis.call('EXISTS', key.generation) == 0 then return 0 end
return math.max(more, pump(4))
