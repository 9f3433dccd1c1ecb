-- wake: what these wait for may be here, as PostgreSQL knows and the gate does not: a message, a
-- signal, an end that it was not told of.
--
-- Guarantee  who is asleep is in line again, ahead of new work; who is about to fall asleep is
--            when it does. Others are where they were. Also for a gate that is being filled: then
--            nobody is handed out before it opens.
-- KEYS    gate
-- ARGV    ids...
-- REPLY   more
-- USES    freely now learn entry waits pump
for _, id in ipairs(ids) do
  local entry = load(id)
  if entry and is_asleep(entry) then
    wake(id, entry)
  elseif entry and entry.place == 'dispatched' then
    redis.call('HSET', key.instance .. id, 'woken', entry.attempt)
  end
end
if redis.call('EXISTS', key.generation) == 0 then return 0 end
return pump(4)
