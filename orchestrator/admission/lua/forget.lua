-- forget: an expired place belongs to no live instance; give it up. `ended`: it has ended for good;
-- else a newer attempt is under way.
--
-- KEYS    gate
-- ARGV    id attempt recorded ended
-- REPLY   more
-- USES    freely now ready entry ends drop budget_leave pump
local entry = load(id)
if entry and entry.place == 'expired' and entry.attempt == tonumber(attempt) then
  drop(id, entry)
  if recorded == '0' then budget_unspawn(id) end
  budget_leave(id)
end
if ended == '1' then tell_end(id) end
local more = wake_ended(100)
return math.max(more, pump(4))
