-- configure: set limits and times; they hold for every process from the next script on.
--
-- KEYS    gate
-- ARGV    fields...
-- REPLY   nothing
if #fields > 0 then redis.call('HSET', key.config, unpack(fields)) end
return ''
