-- USES now config entry refresh park drop waits
-- promote: do for those who wait what their time has come for, at most `budget` of each kind:
-- park the delayed ones; wake those whose timer is due; look again at lines that a breaker held up; end
-- the waiting of those that wait too long; raise others by a class. Answers 1 when there may be more.
-- Of a tenant's instances of one class in a line, one is raised each time that none of them was
-- handed out or raised for the aging time: so no class starves, and no crowd becomes urgent.
local function raise(id, entry)
  local set = key.shares_tenants .. entry.line
  local mark = 'served' .. entry.class .. entry.tenant
  local served = tonumber(redis.call('ZSCORE', set, mark))
  if served and served + config.aging_ms > now then
    redis.call('ZADD', key.backlog, next_look(entry, served or now), id)
    return
  end
  redis.call('ZADD', set, now, mark)
  rank_again(id, entry, entry.class - 1, entry.line)
  redis.call('ZADD', key.backlog, next_look(entry, now), id)
end

local function promote(budget)
  local ids = redis.call('ZRANGEBYSCORE', key.delayed, '-inf', now, 'LIMIT', 0, budget)
  for _, id in ipairs(ids) do
    redis.call('ZREM', key.delayed, id)
    local entry = load(id)
    park(id, entry, entry.attempt > 0)
  end
  local woken = redis.call('ZRANGEBYSCORE', key.timers, '-inf', now, 'LIMIT', 0, budget)
  for _, id in ipairs(woken) do wake(id, load(id)) end
  local lines = redis.call('ZRANGEBYSCORE', key.closed, '-inf', now, 'LIMIT', 0, budget)
  for _, line in ipairs(lines) do
    redis.call('ZREM', key.closed, line)
    refresh_line(line)
  end
  local more = (#ids == budget or #woken == budget) and 1 or 0
  ids = redis.call('ZRANGEBYSCORE', key.backlog, '-inf', now, 'LIMIT', 0, budget)
  for _, id in ipairs(ids) do
    local entry = load(id)
    if entry.expires and entry.expires <= now and entry.attempt == 0 then
      leave(id, entry)
      redis.call('ZADD', key.expired, now, id)
      move(id, entry, 'expired')
    else
      raise(id, entry)
    end
  end
  return more
end
