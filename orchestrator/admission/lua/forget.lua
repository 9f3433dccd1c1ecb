-- forget: an expired place belongs to no live instance; give it up.
--
-- KEYS    gate
-- ARGV    id attempt recorded
-- REPLY   nothing
-- USES    now ready entry drop budget_leave
local entry = load(id)
if entry and entry.place == 'expired' and entry.attempt == tonumber(attempt) then
  drop(id, entry)
  if recorded == '0' then budget_unspawn(id) end
  budget_leave(id)
end
redis.call('PUBLISH', key.done .. id, '')
return ''
