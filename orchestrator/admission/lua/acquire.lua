-- acquire: decide about one call of a resource, looking at its breaker, its buckets, the calls
-- under way, the budget and whose turn it is at once.
--
-- Guarantee  taken: all amounts are taken and a lease on the call is held; no limit is exceeded.
--            wait: nothing is taken; a ticket holds its turn until `lease_ms` after it was last
--            asked for. refused: nothing is left behind. Only the first in turn takes.
-- KEYS    gate
-- ARGV    id resource tenant instance may_wait requests input_tokens output_tokens usd
-- REPLY   decision code scope retry_after_ms ahead
-- USES    now ready config resource bucket breaker turn call budget_call
local policy = policy_of(resource)
local scope = scope_of(resource, tenant, policy)
end_calls(scope, 4)
local call = call_of(id)
if call.state == 'open' or call.state == 'settled' then return {'taken', '', '', '', '0'} end

local amounts = {requests = tonumber(requests), input_tokens = tonumber(input_tokens),
                 output_tokens = tonumber(output_tokens), usd = tonumber(usd)}
local breaker = breaker_of(scope, resource, policy)

-- How long the calls under way keep this one out. Nobody knows when one of them ends.
local under_way = redis.call('ZCARD', key.calls .. scope)
local levels = levels_of(scope, policy)
local function busy_wait()
  local limit, short = policy.concurrency, 'concurrency'
  if limit and config.lost_at then
    -- After a loss of Redis only those who are under way can tell how many they are.
    local left = config.lost_at + config.lease_ms - now
    if left > 0 and left <= config.lease_ms then return left, short, limit end
  end
  local ramp = ramp_limit(breaker, policy)
  if ramp and (not limit or ramp < limit) then limit, short = ramp, 'ramp' end
  if not limit or under_way < limit then return 0, '', limit end
  local each_ms = levels.mean_ms > 0 and levels.mean_ms or 1000
  return math.max(1, math.ceil(each_ms / limit)), short, limit
end
local wait_ms, short = bucket_wait(levels, policy, amounts)
local busy_ms, busy_short, limit = busy_wait()

local function take()
  for _, bucket in ipairs(policy.buckets) do
    levels[bucket.name] = levels[bucket.name] - amounts[bucket.name]
  end
  write_levels(scope, levels, policy)
  open_call(scope, id, breaker.generation, amounts,
            breaker.state == 'half_open' and breaker.forced == '')
end

-- The common way, short because it makes few functions: all is there, the breaker is closed,
-- nobody waits and there is no budget.
if wait_ms == 0 and busy_ms == 0 and call.state == '' and breaker.state == 'closed'
    and breaker.forced == '' and redis.call('EXISTS', key.tickets .. scope) == 0
    and redis.call('HEXISTS', key.account_of, instance) == 0 then
  take()
  return {'taken', '', '', '', '0'}
end

local function refuse(code, short, wait_ms)
  return_turn(scope, id, tenant, call)
  wake_first(scope)
  return {'refused', code, short, wait_ms and string.format('%.0f', wait_ms) or '', '0'}
end

for _, bucket in ipairs(policy.buckets) do
  if amounts[bucket.name] > bucket.capacity then return refuse('COST_TOO_LARGE', bucket.name) end
end

local tokens, money = budget_units(amounts)
local short_of = budget_refusal(instance, tokens, money)
if short_of then
  return refuse('BUDGET_EXCEEDED', short_of.quantity .. ' ' .. short_of.account)
end

local closed_ms = breaker_wait(breaker, scope, policy)
if closed_ms then return refuse('BREAKER_OPEN', 'breaker', closed_ms) end

local code = 'RATE_LIMITED'
if busy_ms > wait_ms then code, wait_ms, short = 'RESOURCE_BUSY', busy_ms, busy_short end

-- How long each one takes who stands before another.
local charge = 1
for _, bucket in ipairs(policy.buckets) do
  charge = math.max(charge, milliseconds_for(amounts[bucket.name], bucket))
end

local others = redis.call('ZCARD', key.tickets .. scope)
local ahead = 0
if may_wait ~= '1' then
  if wait_ms == 0 and others > 0 then
    code, short, ahead = 'RESOURCE_BUSY', 'turn', others
    wait_ms = others * charge
  end
  if wait_ms > 0 then return refuse(code, short, wait_ms) end
elseif wait_ms > 0 or others > 0 then
  if call.state ~= 'waiting' then
    call = {state = 'waiting', charge = charge, ticket = take_ticket(scope, id, tenant, charge),
            taken = {}}
    keep_call(id, call)
  end
  redis.call('ZADD', key.ticket_ends .. scope, now + config.lease_ms, call.ticket)
  ahead = ahead_of(scope, call.ticket)
  if wait_ms == 0 and ahead > 0 then code, short = 'RESOURCE_BUSY', 'turn' end
  wait_ms = wait_ms + ahead * math.max(charge, limit and levels.mean_ms / limit or 0)
  if wait_ms > 0 then
    return {'wait', code, short, string.format('%.0f', math.ceil(wait_ms)), tostring(ahead)}
  end
end

if call.state == 'waiting' then serve_ticket(scope, call.ticket) end
if breaker.is_new then
  redis.call('ZREM', key.tripped, scope)
  save_breaker(scope, breaker)
end
budget_reserve(id, instance, scope, tokens, money)
take()
wake_first(scope)
return {'taken', '', '', '', '0'}
