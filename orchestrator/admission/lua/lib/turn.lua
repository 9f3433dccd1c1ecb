-- take_ticket: wait for one's turn, by start-time fair queueing (Goyal, Vin and Cheng 1996) over
-- the tenants. A turn begins where the last one of its tenant ends, but not before the virtual
-- time, which is where the turn began that was served last. It is charged with the time for
-- which the call alone would use the resource up.
-- ahead_of: how many stand before a ticket.
-- serve_ticket: its turn has come.
-- return_ticket: it is not wanted any more.
-- remove_ticket: it is gone. Once nobody waits, nothing is remembered.
-- wake_first: tell the first one, and nobody else, that its turn may have come.
local function take_ticket(scope, id, tenant, charge)
  local turns = key.turns .. scope
  local v = redis.call('HMGET', turns, 'virtual', 't:' .. tenant)
  local start = math.max(tonumber(v[1]) or 0, tonumber(v[2]) or 0)
  -- Among equal turns the first one to come goes first.
  local ticket = string.format('%016d', redis.call('HINCRBY', turns, 'sequence', 1)) .. id
  redis.call('HSET', turns, 't:' .. tenant, start + charge)
  redis.call('ZADD', key.tickets .. scope, start, ticket)
  return ticket
end

local function ahead_of(scope, ticket)
  return redis.call('ZRANK', key.tickets .. scope, ticket)
end

local function remove_ticket(scope, ticket)
  redis.call('ZREM', key.tickets .. scope, ticket)
  redis.call('ZREM', key.ticket_ends .. scope, ticket)
  if redis.call('EXISTS', key.tickets .. scope) == 0 then
    redis.call('DEL', key.turns .. scope)
  end
end

local function serve_ticket(scope, ticket)
  local start = tonumber(redis.call('ZSCORE', key.tickets .. scope, ticket))
  redis.call('HSET', key.turns .. scope, 'virtual', start)
  remove_ticket(scope, ticket)
end

local function return_ticket(scope, ticket, tenant, charge)
  if not redis.call('ZSCORE', key.tickets .. scope, ticket) then return end
  redis.call('HINCRBYFLOAT', key.turns .. scope, 't:' .. tenant, -charge)
  remove_ticket(scope, ticket)
end

local function wake_first(scope)
  local first = redis.call('ZRANGE', key.tickets .. scope, 0, 0)[1]
  if first then redis.call('PUBLISH', key.turn .. string.sub(first, 17), '') end
end
