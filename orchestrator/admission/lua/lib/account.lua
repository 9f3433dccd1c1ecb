-- USES now entry
-- account: a budget that the gate knows: `s <tree>` of a session, `i <id>` of an instance.
--
-- An instance stands under its nearest account (`account_of`) and, by the field `above`, under all
-- above that. Tokens, money and spawns are charged to the nearest account that bounds them. An
-- account took its limit from the one above when it was made (`<quantity>_from`); what it has
-- `used`, `held` for calls and `lent` to those below is taken of it. Amounts are whole numbers
-- below 2^53. Live instances are counted in every account above.
--
-- accounts_from: an account and all above it, nearest first.
-- book: what an account has `used`, `held` or `lent`, and what it therefore draws from above.
-- tell_budget: leave word that this much of a quantity is gone, once each.
local QUANTITIES = {'tokens', 'usd', 'spawns'}
local PERCENTS = {50, 80, 100}
local TEXTS = {above = true, owner = true, tenant = true, session = true, policy = true,
               ended = true, tokens_from = true, usd_from = true, spawns_from = true}

local function whole(number)
  return string.format('%.0f', number)
end

local function session_account(tenant, session)
  return 's ' .. tree_of(tenant, session)
end

local function account(name)
  local flat = redis.call('HGETALL', key.account .. name)
  if not flat[1] then return nil end
  local found = {name = name}
  for i = 1, #flat, 2 do
    found[flat[i]] = TEXTS[flat[i]] and flat[i + 1] or tonumber(flat[i + 1])
  end
  return found
end

local function accounts_from(name)
  local chain = {}
  while name do
    local found = account(name)
    chain[#chain + 1] = found
    name = found and found.above
  end
  return chain
end

-- The name of the account that the children of `parent` stand under; there may be none of it.
local function account_below(entry, parent)
  local known = parent ~= '' and redis.call('HGET', key.account_of, parent)
  return known and string.match(known, '\n(.*)$') or session_account(entry.tenant, entry.session)
end

local function nearest_account(chain, quantity)
  for _, found in ipairs(chain) do
    if found[quantity] then return found end
  end
  return nil
end

local function taken_of(found, quantity)
  return (found[quantity .. '_used'] or 0) + (found[quantity .. '_held'] or 0)
      + (found[quantity .. '_lent'] or 0)
end

local function tell_budget(found, quantity, percent)
  if (found[quantity .. '_told'] or 0) >= percent then return end
  found[quantity .. '_told'] = percent
  redis.call('HSET', key.account .. found.name, quantity .. '_told', percent)
  -- Those of one moment in their order.
  redis.call('ZADD', key.alerts, string.format('%.17g', now + percent / 1000), cjson.encode({
    account = found.name, owner = found.owner, tenant = found.tenant, session = found.session,
    version = found.version, quantity = quantity, percent = percent,
    limit = whole(found[quantity] or 0), used = whole(taken_of(found, quantity))}))
end

-- Have everything below an account ended by the sweep.
local function doom_account(found, quantity)
  if found.ended then return end
  found.ended = quantity
  redis.call('HSET', key.account .. found.name, 'ended', quantity)
  redis.call('ZADD', key.accounts_due, 'LT', now, found.name)
end

-- What follows from what is taken of an account by now.
local function judge_account(found, quantity)
  local spent = (found[quantity .. '_used'] or 0) + (found[quantity .. '_lent'] or 0)
  for _, percent in ipairs(PERCENTS) do
    if spent > 0 and spent >= found[quantity] * percent / 100 then
      tell_budget(found, quantity, percent)
    end
  end
  if found.policy == 'fail' and spent > found[quantity] then doom_account(found, quantity) end
end

-- How much more an account draws from the one above when `amount` more is taken of it: nothing
-- within its limit, which it took at once, and all that goes beyond.
local function drawn(found, quantity, amount)
  local before = taken_of(found, quantity)
  return math.max(found[quantity], before + amount) - math.max(found[quantity], before)
end

local function book(name, quantity, kind, amount)
  while amount ~= 0 and name and name ~= '' do
    local found = account(name)
    -- What is held goes on being counted where a session's new budget does not bound it.
    if not found or not (found[quantity] or kind == 'held') then return end
    local field = quantity .. '_' .. kind
    redis.call('HINCRBY', key.account .. name, field, whole(amount))
    if not found[quantity] then return end
    local more = drawn(found, quantity, amount)
    found[field] = (found[field] or 0) + amount
    judge_account(found, quantity)
    name, kind, amount = found[quantity .. '_from'], 'lent', more
  end
end

-- Look after an account when its deadline has come.
local function watch_deadline(name, deadline)
  if deadline then redis.call('ZADD', key.accounts_due, whole(deadline), name) end
end
