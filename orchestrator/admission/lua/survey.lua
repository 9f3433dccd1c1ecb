-- survey: some of the instances at one kind of place, counted by whom they belong to.
--
-- KEYS    gate
-- ARGV    set cursor count
-- REPLY   cursor (pool agent tenant session place count)...
-- USES    ready
local scan = redis.call('ZSCAN', key[set], cursor, 'COUNT', count)
local counts, order = {}, {}
for i = 1, #scan[2], 2 do
  local known = redis.call('HMGET', key.instance .. scan[2][i],
                           'pool', 'agent', 'tenant', 'session', 'place')
  if known[1] then
    -- No name has a line break in it.
    local crowd = table.concat(known, '\n')
    if not counts[crowd] then
      order[#order + 1] = {crowd, known}
      counts[crowd] = 0
    end
    counts[crowd] = counts[crowd] + 1
  end
end
local reply = {scan[1]}
for _, found in ipairs(order) do
  for _, word in ipairs(found[2]) do reply[#reply + 1] = word end
  reply[#reply + 1] = tostring(counts[found[1]])
end
return reply
