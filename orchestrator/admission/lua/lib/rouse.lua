-- USES now park
-- rouse: an instance that is asleep is to go on: it is put in line, ahead of new work if it has run
-- before. The caller pumps if `roused` says that this has happened.
local roused = false

local function rouse(id, entry)
  local later = entry.place == 'held' and redis.call('HGET', key.instance .. id, 'not_before')
  redis.call('ZREM', key.suspended, id)
  redis.call('ZREM', key.held, id)
  redis.call('ZREM', key.timers, id)
  if later and tonumber(later) > now then
    delay(id, entry, tonumber(later) - now)
  else
    park(id, entry, entry.attempt > 0)
  end
  roused = true
end
