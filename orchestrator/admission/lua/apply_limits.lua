-- apply_limits: all that operators have set, as PostgreSQL has it in this version; whatever is not
-- among it is as the settings have it.
--
-- Guarantee  the newest version stands, in whatever order versions arrive and however often. Also
--            for a gate that is empty: the rebuild fills it with them before it decides anything.
-- KEYS    gate
-- ARGV    version fields...
-- REPLY   version
-- USES    credit
local known = redis.call('HGET', key.limits, 'version')
if known and tonumber(known) > tonumber(version) then return known end

local before = redis.call('HGETALL', key.operator)
for i = 1, #before, 2 do
  local default = redis.call('HGET', key.defaults, before[i])
  if default then
    redis.call('HSET', key.config, before[i], with_credit(before[i], default))
  else
    redis.call('HDEL', key.config, before[i])
  end
end
redis.call('DEL', key.operator)
for i = 1, #fields, 2 do
  redis.call('HSET', key.operator, fields[i], fields[i + 1])
  redis.call('HSET', key.config, fields[i], with_credit(fields[i], fields[i + 1]))
  -- Below zero stands for nothing at all, whatever was borrowed.
  if tonumber(fields[i + 1]) < 0 then redis.call('HSET', key.config, fields[i], '0') end
end
redis.call('HSET', key.limits, 'version', version)
return version
