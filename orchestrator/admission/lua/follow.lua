-- follow: a spawn has been recorded; start it or put it in line.
--
-- Guarantee  afterwards it is handed out or parked, whatever became of its check-in; a second
--            call changes nothing.
-- KEYS    gate
-- ARGV    id session tenant pool agent priority depth parent budget attempt cost delay_ms ttl_ms
-- ARGV    preemptible
-- REPLY   place more
-- USES    now ready config entry park hand_out pump drop budget
local entry = load(id)

if entry and entry.place == 'admitted' then
  -- The slot is held already; only the attempt and the message are missing.
  hand_out(id, entry)
  return {entry.place, 0}
end

local more = 0
-- An expired place is this spawn's reservation only if no attempt was made of it yet, and it has
-- not waited too long.
local lapsed = entry and entry.place == 'expired' and entry.attempt == tonumber(attempt)
    and not entry.expires

if not entry or entry.place == 'reserved' or lapsed then
  if entry then
    leave(id, entry)
  else
    entry = {session = session, tenant = tenant, pool = pool, agent = agent,
             priority = tonumber(priority), preemptible = preemptible}
  end
  entry.place, entry.attempt, entry.cost = 'queued', tonumber(attempt), tonumber(cost)
  entry.expires = tonumber(ttl_ms) > 0 and now + tonumber(ttl_ms) or nil
  create(id, entry)
  budget_adopt(id, entry, depth, parent, budget)
  if tonumber(delay_ms) > 0 then
    delay(id, entry, tonumber(delay_ms))
  else
    park(id, entry, entry.attempt > 0)
    more = pump(4)
  end
  entry = load(id)
end
return {entry.place, more}
