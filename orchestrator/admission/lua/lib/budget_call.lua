-- USES account shortage budget_leave
-- budget_refusal: may this instance make a call that is estimated to use so many tokens and so
-- much money (in billionths of a dollar)? Nil, or what does not let it.
-- budget_reserve: hold the estimate, whether or not it fits.
-- budget_settle: charge what the call has really used instead; more than was estimated is a debt.
-- A second time nothing happens. Answers whether an estimate was held.

local function budget_refusal(id, tokens, usd)
  local known = redis.call('HGET', key.account_of, id)
  if not known then return nil end
  local chain = accounts_from(string.match(known, '\n(.*)$'))
  return budget_over(chain) or budget_short(chain, {tokens = tokens, usd = usd})
end

local function budget_reserve(call, id, tokens, usd)
  if redis.call('EXISTS', key.account_call .. call) == 1 then return end
  local known = redis.call('HGET', key.account_of, id)
  if not known then return end
  local chain = accounts_from(string.match(known, '\n(.*)$'))
  if not chain[1] then return end
  local fields = {'account', chain[1].name}
  for quantity, amount in pairs({tokens = tokens, usd = usd}) do
    local found = nearest_account(chain, quantity)
    local at = found and found.name or ''
    for _, field in ipairs({quantity, whole(amount), quantity .. '_at', at}) do
      fields[#fields + 1] = field
    end
    book(at, quantity, 'held', amount)
  end
  redis.call('HSET', key.account_call .. call, unpack(fields))
  redis.call('HINCRBY', key.account .. chain[1].name, 'calls', 1)
end

local function budget_settle(call, tokens, usd)
  local v = redis.call('HMGET', key.account_call .. call, 'account', 'tokens', 'tokens_at', 'usd',
                       'usd_at')
  if not v[1] then return false end
  redis.call('DEL', key.account_call .. call)
  local chain = accounts_from(v[1])
  for quantity, part in pairs({tokens = {v[2], v[3], tokens}, usd = {v[4], v[5], usd}}) do
    book(part[2], quantity, 'held', -tonumber(part[1]))
    -- A session may have been given its budget meanwhile.
    local found = part[2] == '' and nearest_account(chain, quantity)
    book(found and found.name or part[2], quantity, 'used', part[3])
  end
  redis.call('HINCRBY', key.account .. v[1], 'calls', -1)
  close_accounts(v[1])
  return true
end
