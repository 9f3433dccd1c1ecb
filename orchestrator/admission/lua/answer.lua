-- answer: one of those that a wait of kind `reply` waits for has answered.
--
-- KEYS    gate
-- ARGV    id target
-- REPLY   over
-- USES    now ready waits
local kind, needs = unpack(redis.call('HMGET', key.wait .. id, 'kind', 'needs'))
if kind ~= 'reply' or not needs or redis.call('SREM', key.targets .. id, target) == 0 then
  return 0
end
redis.call('ZREM', key.waiters .. target, id)
if redis.call('HINCRBY', key.wait .. id, 'needs', -1) > 0 then return 0 end
end_waiting(id)
return 1
