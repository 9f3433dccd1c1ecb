-- stray_budgets: which instances are counted as live by accounts, though the gate has no place of
-- them. A rebuild leaves those that ended while it counted.
--
-- KEYS    gate
-- ARGV    cursor count
-- REPLY   cursor ids...
-- USES    ready
local scan = redis.call('HSCAN', key.account_of, cursor, 'COUNT', count)
local reply = {scan[1]}
for i = 1, #scan[2], 2 do
  local id = scan[2][i]
  if redis.call('EXISTS', key.instance .. id) == 0 then reply[#reply + 1] = id end
end
return reply
