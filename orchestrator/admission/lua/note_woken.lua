-- note_woken: everybody who has room by the limits of this version has been woken.
--
-- Guarantee  the version that is noted never goes back; one that is not noted is woken again.
-- KEYS    gate
-- ARGV    version
-- REPLY   nothing
local known = redis.call('HGET', key.limits, 'woken')
if not known or tonumber(known) < tonumber(version) then
  redis.call('HSET', key.limits, 'woken', version)
end
return ''
