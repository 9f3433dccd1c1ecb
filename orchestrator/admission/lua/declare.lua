-- declare: how much of a resource may be used; holds for every process from the next call on.
--
-- KEYS    gate
-- ARGV    resource fields...
-- REPLY   nothing
redis.call('DEL', key.resource .. resource)
redis.call('HSET', key.resource .. resource, unpack(fields))
return ''
