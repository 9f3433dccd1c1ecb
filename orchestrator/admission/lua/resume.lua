-- resume: what a suspended attempt waited for is here; it wants a slot again, ahead of new work.
--
-- Guarantee  once a slot is free, its thread is told on the channel `granted`, with the number
--            of the new attempt.
-- KEYS    gate
-- ARGV    id attempt
-- REPLY   place attempt more
-- USES    freely now ready entry waits pump
local more = 0
local entry = load(id)
if entry and entry.place == 'suspended' and entry.attempt == tonumber(attempt)
    and entry.stop == '' then
  wake(id, entry)
  more = pump(4)
  entry = load(id)
end
if not entry then return {'', '0', more} end
return {entry.place, tostring(entry.attempt), more}
