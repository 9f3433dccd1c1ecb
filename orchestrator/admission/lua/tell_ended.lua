-- tell_ended: these have ended, as PostgreSQL knows: whoever waits for one of them does so no more.
--
-- KEYS    gate
-- ARGV    ids...
-- REPLY   more
-- USES    now ready ends pump
for _, id in ipairs(ids) do tell_end(id) end
local more = wake_ended(100)
return math.max(more, pump(4))
