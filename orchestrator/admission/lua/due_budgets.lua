-- due_budgets: free what lost calls held, and claim accounts below which everything is to be
-- ended: failed ones, and those whose deadline has passed.
--
-- Guarantee  a claimed account is shown to nobody else for `hold_ms`, and again after that until
--            `end_budget`. One that only warns leaves word instead.
-- KEYS    gate
-- ARGV    budget hold_ms
-- REPLY   more (account owner tenant session quantity)...
-- USES    now ready config account budget_call
lose_calls(tonumber(budget))
local names = redis.call('ZRANGEBYSCORE', key.accounts_due, '-inf', now, 'LIMIT', 0, budget)
local reply = {#names == tonumber(budget) and 1 or 0}
for _, name in ipairs(names) do
  local found = account(name)
  if not found then
    redis.call('ZREM', key.accounts_due, name)
  elseif found.policy == 'warn' then
    redis.call('ZREM', key.accounts_due, name)
    tell_budget(found, 'deadline', 100)
  else
    redis.call('ZADD', key.accounts_due, now + tonumber(hold_ms), name)
    for _, field in ipairs({'name', 'owner', 'tenant', 'session'}) do
      reply[#reply + 1] = found[field]
    end
    reply[#reply + 1] = found.ended or 'deadline'
  end
end
return reply
