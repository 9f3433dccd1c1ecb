-- USES now entry rouse
-- stop_waiting: an instance waits for nothing any more; nothing of its wait stays behind.
-- begin_waiting: it waits until `needs` of the targets have ended, answered or been let go of.
-- end_waiting: its wait is over. One that is asleep is roused, and then only what has failed is
-- remembered; one that still runs or has a thread is told, and looks.
-- fail_waiting: its wait has failed, which it is told when it looks; `reply` names the cycle.
-- lose_edge: one of its targets is no target any more.
-- wake: it is to look at what it waits for, whatever that is.
-- wait_state: what became of a wait: as scripts answer it; nil if unknown.
-- look_at_wait: the same for the attempt that asks.
local function remove_edges(id)
  for _, target in ipairs(redis.call('SMEMBERS', key.targets .. id)) do
    redis.call('ZREM', key.waiters .. target, id)
  end
  redis.call('DEL', key.targets .. id)
  redis.call('ZREM', key.unchecked, id)
end

local function stop_waiting(id)
  if redis.call('DEL', key.wait .. id) == 0 then return end
  remove_edges(id)
  redis.call('ZREM', key.blocked, id)
end

local function begin_waiting(id, attempt, claim, kind, needs, targets, rank)
  redis.call('HSET', key.wait .. id, 'attempt', attempt, 'claim', claim, 'kind', kind,
             'needs', needs, 'since', now)
  for _, target in ipairs(targets) do
    redis.call('SADD', key.targets .. id, target)
    redis.call('ZADD', key.waiters .. target, rank, id)
  end
end

local function end_waiting(id)
  remove_edges(id)
  redis.call('HDEL', key.wait .. id, 'needs')
  local entry = load(id)
  if entry and is_asleep(entry) then
    if redis.call('HEXISTS', key.wait .. id, 'cycle') == 0 then redis.call('DEL', key.wait .. id) end
    rouse(id, entry)
  else
    redis.call('PUBLISH', key.woken .. id, '')
  end
end

-- Names are printable, so that no separator is in them.
local function fail_waiting(id, reply)
  redis.call('HSET', key.wait .. id, 'cycle', table.concat(reply, '\31'))
  end_waiting(id)
end

local function lose_edge(id, target)
  redis.call('ZREM', key.waiters .. target, id)
  if redis.call('SREM', key.targets .. id, target) == 0 then return end
  if redis.call('HINCRBY', key.wait .. id, 'needs', -1) <= 0 then end_waiting(id) end
end

local function wake(id, entry)
  stop_waiting(id)
  rouse(id, entry)
end

local function wait_state(id, claim)
  local known = redis.call('HMGET', key.wait .. id, 'claim', 'needs', 'cycle')
  if known[1] ~= claim then return nil end
  if known[2] then return {'waiting'} end
  if not known[3] then return {'over'} end
  local reply = {}
  for word in string.gmatch(known[3] .. '\31', '(.-)\31') do reply[#reply + 1] = word end
  return reply
end

local function look_at_wait(id, attempt, claim)
  local known = wait_state(id, claim)
  if known and known[1] == 'waiting' then
    redis.call('HSET', key.wait .. id, 'attempt', attempt)
  elseif known then
    redis.call('HDEL', key.wait .. id, 'attempt')
  end
  return known
end
