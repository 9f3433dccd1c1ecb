-- USES config now account shortage
-- budget_plan: decide about a spawn with its own budget `text`, or ''. Answers a plan for
-- `budget_enter`; its field `refused` says which account does not let it, and why.
-- budget_reply: what refuses a spawn, as `check_in` answers it.
-- budget_enter: a spawn that was decided about stands under its accounts.
-- budget_adopt: the same for one that PostgreSQL has accepted already: nothing is asked.

local function budget_crowded(chain, depth)
  for _, found in ipairs(chain) do
    if found.policy ~= 'warn' then
      local below = depth - found.base
      if found.depth and below > found.depth then
        return budget_exceeded(found, 'depth', found.depth, below, 1)
      end
      local live = found.live and redis.call('SCARD', key.account_live .. found.name)
      if live and live >= found.live then return budget_exceeded(found, 'live', found.live, live, 1) end
    end
  end
  return nil
end

local function budget_plan(entry, depth, parent, text)
  local name = account_below(entry, parent)
  local plan = {chain = accounts_from(name), above = name, depth = tonumber(depth),
                spec = text ~= '' and cjson.decode(text) or nil}
  if not plan.chain[1] then return plan end
  local needs = {spawns = 1}
  for _, quantity in ipairs(QUANTITIES) do
    needs[quantity] = (needs[quantity] or 0) + (plan.spec and plan.spec[quantity] or 0)
  end
  plan.refused = budget_over(plan.chain) or budget_crowded(plan.chain, plan.depth) or budget_short(plan.chain, needs)
  return plan
end

local function budget_reply(refused)
  -- Of live ones some will end; nothing else comes back by waiting.
  local retry_after_ms = refused.quantity == 'live' and config.lease_ms or ''
  return refused.quantity, whole(refused.limit), whole(refused.current), retry_after_ms,
         refused.account, whole(refused.asked)
end

local function open_account(id, entry, plan)
  local name, spec = 'i ' .. id, plan.spec
  local fields = {'owner', id, 'tenant', entry.tenant, 'session', entry.session, 'version', '1',
                  'above', plan.above, 'base', whole(plan.depth), 'policy', spec.policy,
                  'subs', '0', 'calls', '0'}
  for _, bound in ipairs({'live', 'depth', 'deadline'}) do
    if spec[bound] then
      fields[#fields + 1] = bound
      fields[#fields + 1] = whole(spec[bound])
    end
  end
  for _, quantity in ipairs(QUANTITIES) do
    if spec[quantity] then
      local from = nearest_account(plan.chain, quantity)
      for _, field in ipairs({quantity, whole(spec[quantity]),
                              quantity .. '_from', from and from.name or ''}) do
        fields[#fields + 1] = field
      end
      if from then book(from.name, quantity, 'lent', spec[quantity]) end
    end
  end
  redis.call('HSET', key.account .. name, unpack(fields))
  redis.call('SADD', key.accounts, name)
  watch_deadline(name, spec.deadline)
  local above = plan.chain[1]
  if above and above.owner ~= '' then
    redis.call('HINCRBY', key.account .. above.name, 'subs', 1)
  end
  return account(name)
end

local function warn_of(chain, depth)
  for _, found in ipairs(chain) do
    if found.policy == 'warn' then
      if found.depth and depth - found.base > found.depth then tell_budget(found, 'depth', 100) end
      local live = found.live and redis.call('SCARD', key.account_live .. found.name)
      if live and live > found.live then tell_budget(found, 'live', 100) end
    end
  end
end

local function budget_enter(id, entry, plan)
  local nearest = plan.chain[1]
  if not nearest and not plan.spec then return end
  local paid = nearest_account(plan.chain, 'spawns')
  if plan.spec then
    nearest = open_account(id, entry, plan)
    table.insert(plan.chain, 1, nearest)
  end
  if paid then book(paid.name, 'spawns', 'used', 1) end
  redis.call('HSET', key.account_of, id, (paid and paid.name or '') .. '\n' .. nearest.name)
  for _, found in ipairs(plan.chain) do redis.call('SADD', key.account_live .. found.name, id) end
  warn_of(plan.chain, plan.depth)
end

local function budget_adopt(id, entry, depth, parent, text)
  if redis.call('HEXISTS', key.account_of, id) == 1 then return end
  local name = account_below(entry, parent)
  budget_enter(id, entry, {chain = accounts_from(name), above = name, depth = tonumber(depth),
                           spec = text ~= '' and cjson.decode(text) or nil})
end
