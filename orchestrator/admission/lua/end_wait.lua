-- end_wait: an instance has stopped waiting, for whatever reason.
--
-- Guarantee  nothing of the wait is left behind; a newer one is not touched.
-- KEYS    gate
-- ARGV    id claim
-- REPLY   nothing
-- USES    freely now ready waits
if wait_state(id, claim) then stop_waiting(id) end
return ''
