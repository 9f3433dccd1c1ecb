-- USES now waits
-- give_lock: make an instance the holder of a lock.
-- hand_on: give a lock that nobody holds to the first in line and wake it.
-- free_lock: take a lock from its holder, and hand it on.
-- let_go: an instance has lost its place: it waits for nothing and holds no lock any more.
local function give_lock(node, id, claim, token)
  redis.call('HSET', key.holder .. node, 'holder', id, 'claim', claim, 'token', token,
             'since', now)
  redis.call('SADD', key.locks .. id, node)
end

-- Tokens grow, also over a loss of everything here: they are not below the time.
local function new_token()
  local last = tonumber(redis.call('GET', key.lock_token) or '0')
  local token = string.format('%.0f', math.max(now, last + 1))
  redis.call('SET', key.lock_token, token)
  return token
end

-- After a loss of everything, holders get time to say what they hold.
local function locks_closed()
  return tonumber(redis.call('GET', key.locks_closed) or '0') > now
end

local function hand_on(node)
  if redis.call('EXISTS', key.holder .. node) == 1 or locks_closed() then return end
  local first = redis.call('ZRANGE', key.waiters .. node, 0, 0)[1]
  if not first then return end
  give_lock(node, first, redis.call('HGET', key.wait .. first, 'claim'), new_token())
  stop_waiting(first)
  redis.call('PUBLISH', key.woken .. first, '')
end

local function free_lock(node, id)
  redis.call('DEL', key.holder .. node)
  redis.call('SREM', key.locks .. id, node)
  hand_on(node)
end

local function let_go(id)
  if redis.call('EXISTS', key.wait .. id, key.locks .. id) == 0 then return end
  stop_waiting(id)
  for _, node in ipairs(redis.call('SMEMBERS', key.locks .. id)) do free_lock(node, id) end
end
