-- renew_calls: these calls are still under way.
--
-- Guarantee  each holds a lease again, also where it had run out or Redis was emptied: what is
--            under way counts. A settled one does not come back.
-- KEYS    gate
-- ARGV    calls...
-- REPLY   nothing
-- USES    freely now ready config resource call
for i = 1, #calls, 3 do
  local id, resource, tenant = calls[i], calls[i + 1], calls[i + 2]
  local scope = scope_of(resource, tenant, policy_of(resource))
  local call = call_of(id)
  local state = call.state
  if state == 'open' or state == '' then
    lease(scope, id, redis.call('ZSCORE', key.probes .. scope, id))
    if state == '' then redis.call('SADD', key.scopes, scope) end
    -- What it has taken is not known any more; nor does it matter to buckets that began empty.
    call.state = 'open'
    keep_call(id, call)
  end
end
return ''
