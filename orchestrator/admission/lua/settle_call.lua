-- settle_call: a call has ended; correct what it took, let its result count, wake the next.
--
-- Guarantee  what was taken too much goes back and what was taken too little is owed, once; a
--            second call changes nothing and answers the same. The result counts only while the
--            breaker is in the state in which the call was let through.
-- KEYS    gate
-- ARGV    id resource tenant instance outcome block_ms requests input_tokens output_tokens usd
-- ARGV    requests_left input_tokens_left output_tokens_left
-- REPLY   started_ms ended_ms
-- USES    freely now ready config resource bucket breaker judge turn call budget_call
local policy = policy_of(resource)
local scope = scope_of(resource, tenant, policy)
local call = call_of(id)
local function times(started, ended)
  return {string.format('%.0f', started or ended), string.format('%.0f', ended)}
end
if call.state == 'settled' then return times(call.started, call.ended) end

end_lease(scope, id)
return_turn(scope, id, tenant, call)
end_calls(scope, 4)

local levels = levels_of(scope, policy)
-- An amount that is not told is what was estimated.
local used = {requests = tonumber(requests), input_tokens = tonumber(input_tokens),
              output_tokens = tonumber(output_tokens), usd = tonumber(usd)}
for _, name in ipairs(DIMENSIONS) do used[name] = used[name] or call.taken[name] or 0 end
for _, bucket in ipairs(policy.buckets) do
  local name = bucket.name
  local taken = call.taken[name]
  -- A call that the gate has forgotten was made before the buckets began empty.
  if taken then
    levels[name] = math.min(bucket.capacity, levels[name] + taken - used[name])
  end
end
local took_ms = call.started and math.max(0, now - call.started) or 0
if call.started then
  levels.mean_ms = levels.mean_ms > 0 and levels.mean_ms + (took_ms - levels.mean_ms) / 10 or took_ms
end
hear(levels, policy, tonumber(block_ms),
     {requests = tonumber(requests_left), input_tokens = tonumber(input_tokens_left),
      output_tokens = tonumber(output_tokens_left)})
write_levels(scope, levels, policy)

if call.generation then
  judge(scope, breaker_of(scope, resource, policy), policy, call.generation, outcome, took_ms)
end
if instance ~= '' and redis.call('EXISTS', key.instance .. instance) == 1 then
  -- For the fair queue, which charges by what was really used.
  redis.call('HINCRBYFLOAT', key.instance .. instance, 'spent', used.input_tokens + used.output_tokens)
end
settled(id, call)
wake_first(scope)
-- Mostly there is no budget; all that deals with them is made only from here on.
if redis.call('EXISTS', key.account_call .. id) == 1
    or redis.call('HEXISTS', key.account_of, instance) == 1 then
  budget_settle(id, instance, budget_units(used))
end
return times(call.started, now)
