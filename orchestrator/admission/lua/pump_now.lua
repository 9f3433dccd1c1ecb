-- pump_now: hand out what may run; for callers told that there was more than one call's share.
--
-- KEYS    gate
-- ARGV    budget
-- REPLY   more
-- USES    freely now ready promote ends pump
budget = tonumber(budget)
local more = math.max(promote(budget), wake_ended(budget))
return math.max(more, pump(budget))
