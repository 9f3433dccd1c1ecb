-- give_up: a call will not be made after all.
--
-- Guarantee  its turn goes to the next; tokens and money that were taken for it go back. The
--            request does not: it may have been counted where it was sent to.
-- KEYS    gate
-- ARGV    id resource tenant
-- REPLY   nothing
-- USES    freely now ready config resource bucket turn call budget_call
local policy = policy_of(resource)
local scope = scope_of(resource, tenant, policy)
local call = call_of(id)
end_lease(scope, id)
return_turn(scope, id, tenant, call)
if call.state == 'open' then
  local levels = levels_of(scope, policy)
  for _, bucket in ipairs(policy.buckets) do
    local name = bucket.name
    if name ~= 'requests' then
      levels[name] = math.min(bucket.capacity, levels[name] + (call.taken[name] or 0))
    end
  end
  write_levels(scope, levels, policy)
  settled(id, call)
  budget_settle(id, '', 0, 0)
end
wake_first(scope)
return ''
