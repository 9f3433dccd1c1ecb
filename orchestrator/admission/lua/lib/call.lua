-- USES now config turn
-- call_of: what the gate knows of a call; its state is `waiting`, `open` or `settled`, or empty.
-- return_turn: a waiting call is not wanted any more.
-- settled: it has ended; known for a while, so that this is not done twice.
-- open_call: it is under way. A lease, so that a caller that dies does not hold it for ever.
-- end_lease: it is not under way any more.
-- end_calls: end what has run out in a scope, at most `budget` of each kind.
local OPEN_KEPT_MS, SETTLED_KEPT_MS = 3600000, 600000

local function call_of(id)
  local packed = redis.call('GET', key.call .. id)
  return packed and cmsgpack.unpack(packed) or {state = '', taken = {}}
end

local function keep_call(id, call, kept_ms)
  redis.call('SET', key.call .. id, cmsgpack.pack(call), 'PX', kept_ms or OPEN_KEPT_MS)
end

local function settled(id, call)
  keep_call(id, {state = 'settled', started = call.started or now, ended = now}, SETTLED_KEPT_MS)
end

local function return_turn(scope, id, tenant, call)
  if call.state ~= 'waiting' then return end
  return_ticket(scope, call.ticket, tenant, call.charge)
  redis.call('DEL', key.call .. id)
end

local function lease(scope, id, is_probe)
  redis.call('ZADD', key.calls .. scope, now + config.lease_ms, id)
  if is_probe then redis.call('ZADD', key.probes .. scope, now + config.lease_ms, id) end
end

local function open_call(scope, id, generation, taken, is_probe)
  lease(scope, id, is_probe)
  redis.call('SADD', key.scopes, scope)
  keep_call(id, {state = 'open', generation = generation, started = now, taken = taken})
end

local function end_lease(scope, id)
  redis.call('ZREM', key.calls .. scope, id)
  redis.call('ZREM', key.probes .. scope, id)
end

local function end_calls(scope, budget)
  local ids = redis.call('ZRANGEBYSCORE', key.calls .. scope, '-inf', now, 'LIMIT', 0, budget)
  for _, id in ipairs(ids) do end_lease(scope, id) end
  local tickets = redis.call('ZRANGEBYSCORE', key.ticket_ends .. scope, '-inf', now,
                             'LIMIT', 0, budget)
  for _, ticket in ipairs(tickets) do
    redis.call('DEL', key.call .. string.sub(ticket, 17))
    remove_ticket(scope, ticket)
  end
end
