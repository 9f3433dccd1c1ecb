-- pause: these instances are to start nothing. One in line is taken out of it; one that has been
-- handed out, waits or is delayed stays where it is and is put aside when it comes back into line.
--
-- Guarantee  nobody is stopped. A second call changes nothing. Also for a gate that is being filled.
-- KEYS    gate
-- ARGV    ids...
-- REPLY   nothing
-- USES    now learn config entry park
for _, id in ipairs(ids) do
  local entry = load(id)
  if entry then
    redis.call('HSET', key.instance .. id, 'paused', '1')
    if entry.place == 'queued' and entry.thread == '' then
      unpark(id, entry)
      set_aside(id, entry)
    end
  end
end
return ''
