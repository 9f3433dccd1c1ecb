-- forget: an expired place belongs to no live instance; give it up.
--
-- KEYS    gate
-- ARGV    id attempt
-- REPLY   nothing
-- USES    now ready entry drop
local entry = load(id)
if entry and entry.place == 'expired' and entry.attempt == tonumber(attempt) then
  drop(id, entry)
end
redis.call('PUBLISH', key.done .. id, '')
return ''
