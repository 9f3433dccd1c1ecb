-- declare_needs: which resources a kind of agent calls. Its instances wait in line while one of
-- them is stopped by its breaker.
--
-- KEYS    gate
-- ARGV    agent resources
-- REPLY   nothing
if resources == '' then
  redis.call('HDEL', key.config, 'resources:' .. agent)
else
  redis.call('HSET', key.config, 'resources:' .. agent, resources)
end
return ''
