-- pump_now: hand out what may run; for callers told that there was more than one call's share.
--
-- KEYS    gate
-- ARGV    budget
-- REPLY   more
-- USES    now ready promote pump
promote(tonumber(budget))
return pump(tonumber(budget))
