-- declare: how much of a resource may be used; holds for every process from the next call on.
--
-- KEYS    gate
-- ARGV    resource fields...
-- REPLY   nothing
-- USES    resource
local policy = {buckets = {}}
for i = 1, #fields, 2 do policy[fields[i]] = tonumber(fields[i + 1]) end
for _, name in ipairs(DIMENSIONS) do
  local bucket = {name = name}
  for _, field in ipairs({'capacity', 'refill', 'window_ms'}) do
    local declared = name .. '_' .. field
    bucket[field], policy[declared] = policy[declared], nil
  end
  if bucket.capacity then table.insert(policy.buckets, bucket) end
end
redis.call('SET', key.resource .. resource, cmsgpack.pack(policy))
return ''
