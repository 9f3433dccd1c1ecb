-- USES now
-- stop_waiting: an instance waits for nothing any more; nothing of its wait stays behind.
-- begin_waiting: it waits until `needs` of the targets have ended, answered or been let go of.
-- fail_waiting: its wait has failed, which it is told when it looks; `reply` names the cycle.
-- end_waiting: the same for a wait that has come to a good end.
-- wait_state: what became of a wait: as scripts answer it; nil if unknown.
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

local function begin_waiting(id, claim, kind, needs, targets, rank)
  redis.call('HSET', key.wait .. id, 'claim', claim, 'kind', kind, 'needs', needs, 'since', now)
  for _, target in ipairs(targets) do
    redis.call('SADD', key.targets .. id, target)
    redis.call('ZADD', key.waiters .. target, rank, id)
  end
end

local function end_waiting(id)
  remove_edges(id)
  redis.call('HDEL', key.wait .. id, 'needs')
  redis.call('PUBLISH', key.woken .. id, '')
end

-- Names are printable, so that no separator is in them.
local function fail_waiting(id, reply)
  redis.call('HSET', key.wait .. id, 'cycle', table.concat(reply, '\31'))
  end_waiting(id)
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
