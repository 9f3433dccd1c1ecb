-- finish_rebuild: the gate knows all live instances; open it.
--
-- Guarantee  only the process that holds the task opens the gate.
-- KEYS    gate
-- ARGV    token
-- REPLY   opened
if redis.call('GET', key.rebuilding) ~= token then return 0 end
if redis.call('EXISTS', key.config) == 0 then return 0 end
redis.call('SET', key.generation, token)
redis.call('DEL', key.rebuilding)
return 1
