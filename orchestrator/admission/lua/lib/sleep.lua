-- USES now config entry nodes waits locks park timers
-- go_to_sleep: an instance waits with nobody there, as its row says: for so many of the targets, or
-- for a lock, or for what only PostgreSQL knows of; and until a time at most.
-- hold: a spawn waits for so many of the targets before it starts.
-- keep_locks: it holds what its row says.
local function edges_of(entry, wait)
  if wait.kind == 'lock' then return 1, {lock_node(entry.tenant, wait.lock)}, lock_rank(entry) end
  return wait.needs, wait.targets, now
end

local function go_to_sleep(id, entry, wait)
  local needs, targets, rank = edges_of(entry, wait)
  if #targets > 0 then
    begin_waiting(id, entry.attempt, wait.claim, wait.kind, needs, targets, rank)
  end
  local left = wait.wake_ms or math.huge
  -- Who should hold it may have to say so first.
  if wait.kind == 'lock' then left = math.min(left, config.lease_ms) end
  redis.call('ZADD', key.suspended, '+inf', id)
  move(id, entry, 'suspended')
  if redis.call('HGET', key.instance .. id, 'woken') == tostring(entry.attempt) then
    wake(id, entry)
  elseif left < math.huge then
    set_time(key.timers, id, left)
  end
end

local function hold(id, entry, needs, targets, delay_ms)
  begin_waiting(id, entry.attempt, 'after', 'after', needs, targets, now)
  if delay_ms > 0 then redis.call('HSET', key.instance .. id, 'not_before', now + delay_ms) end
  redis.call('ZADD', key.held, now, id)
  count_in_backlog(id, entry, '+inf')
  move(id, entry, 'held')
end

local function keep_locks(id, entry, wait)
  for _, held in ipairs(wait.locks or {}) do
    keep_lock(lock_node(entry.tenant, held.name), id, held.claim, held.token)
  end
end
