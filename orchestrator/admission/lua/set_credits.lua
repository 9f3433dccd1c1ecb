-- set_credits: what a shard has borrowed of others (above zero) or lent them (below), by limit.
--
-- Guarantee  the newest version stands; one that comes late changes nothing.
-- KEYS    gate
-- ARGV    version fields...
-- REPLY   done
if tonumber(redis.call('HGET', key.credits, '') or '0') > tonumber(version) then return 0 end
local credits = {}
for i = 1, #fields, 2 do credits[fields[i]] = tonumber(fields[i + 1]) end
local before = redis.call('HGETALL', key.credits)
for i = 1, #before, 2 do
  if not credits[before[i]] then credits[before[i]] = 0 end
end
credits[''] = nil
for field, credit in pairs(credits) do
  local limit = redis.call('HGET', key.config, field)
  local change = credit - tonumber(redis.call('HGET', key.credits, field) or '0')
  if limit and change ~= 0 then redis.call('HINCRBY', key.config, field, change) end
end
redis.call('DEL', key.credits)
for field, credit in pairs(credits) do
  if credit ~= 0 then redis.call('HSET', key.credits, field, credit) end
end
redis.call('HSET', key.credits, '', version)
return 1
