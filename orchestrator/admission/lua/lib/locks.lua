-- USES now waits
-- give_lock: make an instance the holder of a lock.
-- hand_on: give a lock that nobody holds to the first in line, whose wait is over.
-- keep_lock: somebody says to hold a lock, which the gate may have forgotten; whether that stands.
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

-- By class, then by who asked first.
local function lock_rank(entry)
  return entry.priority * 2 ^ 44 + redis.call('INCR', key.lock_sequence)
end

-- After a loss of everything, holders get time to say what they hold.
local function locks_closed()
  return tonumber(redis.call('GET', key.locks_closed) or '0') > now
      or redis.call('EXISTS', key.generation) == 0
end

-- How long until somebody new may get a lock that nobody holds; endless where one may now: then who
-- waits for it is woken by the one who lets go of it.
local function locks_open_in()
  local left = tonumber(redis.call('GET', key.locks_closed) or '0') - now
  return left > 0 and left or math.huge
end

local function hand_on(node)
  if redis.call('EXISTS', key.holder .. node) == 1 or locks_closed() then return end
  local first = redis.call('ZRANGE', key.waiters .. node, 0, 0)[1]
  if not first then return end
  give_lock(node, first, redis.call('HGET', key.wait .. first, 'claim'), new_token())
  end_waiting(first)
end

-- Of two who say that they hold it, the one with the newer token does.
local function keep_lock(node, id, claim, token)
  local by, under, newest = unpack(redis.call('HMGET', key.holder .. node, 'holder', 'claim', 'token'))
  if by == id and under == claim then return true end
  if by and tonumber(newest) >= tonumber(token) then return false end
  -- Without a holder it may have been another's since: then its token is not the newest any more.
  local last = tonumber(redis.call('GET', key.lock_token) or '0')
  if not by and last > tonumber(token) and not locks_closed() then return false end
  if by then redis.call('SREM', key.locks .. by, node) end
  give_lock(node, id, claim, token)
  if last < tonumber(token) then redis.call('SET', key.lock_token, token) end
  return true
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
