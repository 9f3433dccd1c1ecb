-- refresh_flows: put some of the flows where they belong now; after limits have changed, or to be
-- sure.
--
-- KEYS    gate
-- ARGV    cursor count
-- REPLY   cursor more
-- USES    now ready config refresh pump
local scan = redis.call('SSCAN', key.flows, cursor, 'COUNT', count)
for _, flow in ipairs(scan[2]) do
  local line, length, labels = string.match(flow, '^(%S+ %S*) (%d+) (.*)$')
  length = tonumber(length)
  refresh(line, string.sub(labels, 1, length), string.sub(labels, length + 1))
end
return {scan[1], pump(16)}
