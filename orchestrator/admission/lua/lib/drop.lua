-- USES slots park locks
-- leave: take an instance from wherever it is, keeping what is known of it.
-- drop: and forget it.
local function leave(id, entry)
  local place = entry.place
  let_go(id)
  if place == 'admitted' or place == 'dispatched' then
    free_slot(id, entry)
  elseif place == 'queued' then
    unpark(id, entry)
  elseif place == 'delayed' or place == 'reserved' then
    redis.call('ZREM', key[place], id)
    leave_backlog(id, entry)
  elseif place == 'held' then
    redis.call('ZREM', key.held, id)
    redis.call('ZREM', key.timers, id)
    leave_backlog(id, entry)
  else
    redis.call('ZREM', key[place], id)
    redis.call('ZREM', key.timers, id)
  end
end

local function drop(id, entry)
  leave(id, entry)
  redis.call('DEL', key.instance .. id)
end
