-- USES now account
-- budget_over: what is over for everything below one of these accounts, because it has failed or its
-- deadline has passed; nil when nothing is.
-- budget_short: which of these accounts does not have what is needed, by quantity; nil when all have.
-- Either answers {account, quantity, limit, current, asked}.

-- The account, from the nearest that bounds the quantity upwards, that does not have `amount`
-- more; nil when they all have. One that only warns takes what it lacks from the one above.
local function lacking_account(chain, quantity, amount)
  local found = nearest_account(chain, quantity)
  -- A session may have been given another budget since, without this quantity.
  while found and found[quantity] and amount > 0 do
    if taken_of(found, quantity) + amount > found[quantity] then
      if found.policy ~= 'warn' then return found, amount end
      amount = drawn(found, quantity, amount)
    else
      return nil
    end
    found = account(found[quantity .. '_from'] or '')
  end
  return nil
end

local function budget_exceeded(found, quantity, limit, current, asked)
  if found.policy == 'fail' and quantity ~= 'live' and quantity ~= 'depth' then
    doom_account(found, quantity)
  end
  return {account = found.name, quantity = quantity, limit = limit, current = current,
          asked = asked}
end

local function budget_over(chain)
  for _, found in ipairs(chain) do
    if found.ended then
      local quantity = found.ended
      local current = quantity == 'deadline' and now or taken_of(found, quantity)
      return {account = found.name, quantity = quantity, limit = found[quantity] or 0,
              current = current, asked = 0}
    elseif found.deadline and now >= found.deadline and found.policy ~= 'warn' then
      return budget_exceeded(found, 'deadline', found.deadline, now, 0)
    end
  end
  return nil
end

local function budget_short(chain, needs)
  for _, quantity in ipairs(QUANTITIES) do
    local found, asked = lacking_account(chain, quantity, needs[quantity] or 0)
    if found then
      return budget_exceeded(found, quantity, found[quantity], taken_of(found, quantity), asked)
    end
  end
  return nil
end
