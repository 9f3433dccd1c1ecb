-- answer: one of those that a wait of kind `reply` waits for has answered.
--
-- KEYS    gate
-- ARGV    id target
-- REPLY   over
-- USES    now ready waits rouse pump
local kind, needs = unpack(redis.call('HMGET', key.wait .. id, 'kind', 'needs'))
if kind ~= 'reply' or not needs or redis.call('SISMEMBER', key.targets .. id, target) == 0 then
  return 0
end
lose_edge(id, target)
if roused then pump(4) end
return tonumber(needs) <= 1 and 1 or 0
