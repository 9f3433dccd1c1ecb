-- configure: limits and times as the settings of a process have them; they hold for every process
-- from the next script on.
--
-- Guarantee  what an operator has set stands, whatever a process that starts believes.
-- KEYS    gate
-- ARGV    fields...
-- REPLY   nothing
-- USES    credit
for i = 1, #fields, 2 do
  redis.call('HSET', key.defaults, fields[i], fields[i + 1])
  if redis.call('HEXISTS', key.operator, fields[i]) == 0 then
    redis.call('HSET', key.config, fields[i], with_credit(fields[i], fields[i + 1]))
  end
end
return ''
