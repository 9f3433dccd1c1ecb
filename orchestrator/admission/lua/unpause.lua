-- unpause: these instances may start again. One that was put aside is in line again, ahead of new
-- work if it has run before.
--
-- Guarantee  a second call changes nothing.
-- KEYS    gate
-- ARGV    ids...
-- REPLY   more
-- USES    now ready config entry park pump
for _, id in ipairs(ids) do
  local entry = load(id)
  if entry then
    redis.call('HDEL', key.instance .. id, 'paused')
    entry.paused = false
    if entry.place == 'paused' then
      redis.call('ZREM', key.paused, id)
      park(id, entry, entry.attempt > 0)
    end
  end
end
return pump(16)
