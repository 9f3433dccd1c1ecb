-- withdraw: a spawn that was checked in will not be recorded; give back what was held for it.
--
-- KEYS    gate
-- ARGV    id
-- REPLY   more
-- USES    freely now ready entry drop pump budget_leave
local entry = load(id)
-- It may have run out meanwhile: the sweep would come to the same, later.
local held = entry and (entry.place == 'admitted' or entry.place == 'reserved'
                        or (entry.place == 'expired' and entry.attempt == 0))
if held then
  drop(id, entry)
  budget_unspawn(id)
  budget_leave(id)
  return pump(4)
end
return 0
