-- USES now config account shortage budget_leave
-- budget_units: tokens and billionths of a dollar, both whole, of what a call uses.
-- budget_refusal: may this instance make a call that is estimated to use so much? Nil, or what
-- does not let it.
-- budget_reserve: hold the estimate, whether or not it fits.
-- budget_settle: charge what the call has really used instead; more than was estimated is a debt.
-- Only once for each call: it is for the caller to know that.
-- lose_calls: nobody will settle a call whose lease has ended, as far as is known; what was held
-- is free again. Looks at `budget` calls at most.
local BUDGET_CALL_KEPT_MS = 3600000
local CALL_QUANTITIES = {'tokens', 'usd'}

local function budget_units(used)
  return math.floor(used.input_tokens + used.output_tokens + 0.5),
         math.floor(used.usd * 1e9 + 0.5)
end

local function budget_refusal(id, tokens, usd)
  local known = redis.call('HGET', key.account_of, id)
  if not known then return nil end
  local chain = accounts_from(string.match(known, '\n(.*)$'))
  return budget_over(chain) or budget_short(chain, {tokens = tokens, usd = usd})
end

local function budget_reserve(call, id, scope, tokens, usd)
  local known = redis.call('HGET', key.account_of, id)
  if not known or redis.call('EXISTS', key.account_call .. call) == 1 then return end
  local chain = accounts_from(string.match(known, '\n(.*)$'))
  if not chain[1] then return end
  local path, amounts = {}, {tokens = tokens, usd = usd}
  for i, found in ipairs(chain) do path[i] = found.name end
  local fields = {'path', table.concat(path, '\n'), 'scope', scope}
  for _, quantity in ipairs(CALL_QUANTITIES) do
    local found = nearest_account(chain, quantity)
    if found and amounts[quantity] ~= 0 then
      for _, field in ipairs({quantity, whole(amounts[quantity]), quantity .. '_at', found.name}) do
        fields[#fields + 1] = field
      end
      book(found.name, quantity, 'held', amounts[quantity])
    end
  end
  redis.call('HSET', key.account_call .. call, unpack(fields))
  redis.call('HINCRBY', key.account .. chain[1].name, 'calls', 1)
  redis.call('ZADD', key.account_calls, now + config.lease_ms, call)
end

-- What is held for a call is held no more; answers the accounts it stands under, nearest first.
local function end_hold(call)
  local v = redis.call('HMGET', key.account_call .. call, 'path', 'lost', 'tokens', 'tokens_at',
                       'usd', 'usd_at')
  if not v[1] then return nil end
  local path = {}
  for name in string.gmatch(v[1], '[^\n]+') do path[#path + 1] = name end
  if not v[2] then
    if v[3] then book(v[4], 'tokens', 'held', -tonumber(v[3])) end
    if v[5] then book(v[6], 'usd', 'held', -tonumber(v[5])) end
    redis.call('HINCRBY', key.account .. path[1], 'calls', -1)
    redis.call('ZREM', key.account_calls, call)
  end
  return path
end

local function budget_settle(call, id, tokens, usd)
  local path, chain = end_hold(call), {}
  if path then
    -- Those that are there still: what was settled with one that has ended is above it by now.
    for _, name in ipairs(path) do chain[#chain + 1] = account(name) end
    redis.call('DEL', key.account_call .. call)
  else
    local known = redis.call('HGET', key.account_of, id)
    if not known then return end
    chain = accounts_from(string.match(known, '\n(.*)$'))
  end
  local amounts = {tokens = tokens, usd = usd}
  for _, quantity in ipairs(CALL_QUANTITIES) do
    local found = nearest_account(chain, quantity)
    if found then book(found.name, quantity, 'used', amounts[quantity]) end
  end
  if path then close_accounts(path[1]) end
end

local function lose_call(call)
  local path = end_hold(call)
  if not path then return end
  redis.call('HSET', key.account_call .. call, 'lost', 1)
  redis.call('PEXPIRE', key.account_call .. call, BUDGET_CALL_KEPT_MS)
  close_accounts(path[1])
end

local function lose_calls(budget)
  local due = redis.call('ZRANGEBYSCORE', key.account_calls, '-inf', now, 'LIMIT', 0, budget)
  for _, call in ipairs(due) do
    local scope = redis.call('HGET', key.account_call .. call, 'scope')
    local ends = tonumber(scope and redis.call('ZSCORE', key.calls .. scope, call) or '0')
    if ends > now then
      redis.call('ZADD', key.account_calls, ends, call)
    else
      redis.call('ZREM', key.account_calls, call)
      lose_call(call)
    end
  end
end
