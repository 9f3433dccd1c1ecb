-- hold: a spawn has been recorded that waits for others before it starts: until `needs` of the
-- targets have ended.
--
-- Guarantee  afterwards it is held, or in line where it needs nobody any more; a second call changes
--            nothing. It counts against the bounds of the queue from its check-in on.
-- KEYS    gate
-- ARGV    id session tenant pool agent priority depth parent budget cost delay_ms ttl_ms preemptible
-- ARGV    needs targets...
-- REPLY   place more
-- USES    now ready entry park pump drop budget sleep
local entry = load(id)
local is_new = not entry
    or (entry.attempt == 0 and (entry.place == 'reserved' or entry.place == 'expired'))
if not is_new then
  return {entry.place, 0}
end
if entry then
  leave(id, entry)
else
  entry = {session = session, tenant = tenant, pool = pool, agent = agent,
           priority = tonumber(priority), preemptible = preemptible}
end
entry.place, entry.attempt, entry.cost = 'queued', 0, tonumber(cost)
entry.expires = tonumber(ttl_ms) > 0 and now + tonumber(ttl_ms) or nil
create(id, entry)
budget_adopt(id, entry, depth, parent, budget)
needs, delay_ms = math.min(tonumber(needs), #targets), tonumber(delay_ms)
if needs > 0 then
  hold(id, entry, needs, targets, delay_ms)
elseif delay_ms > 0 then
  delay(id, entry, delay_ms)
else
  park(id, entry, false)
end
local more = pump(4)
return {redis.call('HGET', key.instance .. id, 'place'), more}
