-- leave_budgets: these have ended; no account counts them as live any more.
--
-- KEYS    gate
-- ARGV    ids...
-- REPLY   nothing
-- USES    freely now ready budget_leave
for _, id in ipairs(ids) do
  if redis.call('EXISTS', key.instance .. id) == 0 then budget_leave(id) end
end
return ''
