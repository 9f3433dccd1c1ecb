-- end_budget: everything below an account has been ended; it need not be looked at again, unless
-- its deadline has been put off meanwhile.
--
-- KEYS    gate
-- ARGV    tenant budget
-- REPLY   nothing
-- USES    freely now ready account
local found = account(budget)
if not found or found.ended or (found.deadline and found.deadline <= now) then
  redis.call('ZREM', key.accounts_due, budget)
end
return ''
