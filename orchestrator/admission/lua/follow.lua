-- follow: a spawn has been recorded; start it or put it in line.
--
-- Guarantee  afterwards it is handed out or parked, whatever became of its check-in; a second
--            call changes nothing.
-- KEYS    gate
-- ARGV    id session tenant pool agent priority depth parent budget attempt
-- REPLY   place more
-- USES    now ready config entry hand_out pump drop budget
local entry = load(id)

if entry and entry.place == 'admitted' then
  -- The slot is held already; only the attempt and the message are missing.
  hand_out(id, entry)
  return {entry.place, 0}
end

local more = 0
-- An expired place is this spawn's reservation only if no attempt was made of it yet.
local lapsed = entry and entry.place == 'expired' and entry.attempt == tonumber(attempt)

if not entry or entry.place == 'reserved' or lapsed then
  if entry then drop(id, entry) end
  entry = {place = 'queued', attempt = tonumber(attempt), session = session, tenant = tenant,
           pool = pool, agent = agent, priority = tonumber(priority)}
  create(id, entry)
  budget_adopt(id, entry, depth, parent, budget)
  park(id, entry, entry.attempt > 0)
  more = pump(4)
  entry = load(id)
end
return {entry.place, more}
