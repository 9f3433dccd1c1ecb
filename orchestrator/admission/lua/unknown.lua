-- unknown: which of these the gate knows nothing of.
--
-- KEYS    gate
-- ARGV    ids...
-- REPLY   ids...
-- USES    ready
local missing = {}
for _, id in ipairs(ids) do
  if redis.call('EXISTS', key.instance .. id) == 0 then missing[#missing + 1] = id end
end
return missing
