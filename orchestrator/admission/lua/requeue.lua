-- requeue: an instance goes back in line after an attempt: retried, handed back, or recovered.
--
-- Guarantee  it is parked once, ahead of new work of its class, unless a newer attempt is under
--            way; the slot of the old attempt is free.
-- KEYS    gate
-- ARGV    id session tenant pool agent priority depth parent budget attempt cost delay_ms
-- ARGV    preemptible
-- REPLY   more
-- USES    freely now ready entry drop park pump budget
local entry = load(id)
if entry and (entry.attempt > tonumber(attempt) or entry.stop ~= '') then return 0 end
if entry then
  leave(id, entry)
else
  entry = {session = session, tenant = tenant, pool = pool, agent = agent,
           priority = tonumber(priority), cost = tonumber(cost), preemptible = preemptible}
end
entry.place, entry.attempt, entry.thread = 'queued', tonumber(attempt), ''
create(id, entry)
budget_adopt(id, entry, depth, parent, budget)
if tonumber(delay_ms) > 0 then
  delay(id, entry, tonumber(delay_ms))
else
  park(id, entry, true)
end
return pump(4)
