-- USES now breaker
-- judge: let the result of a call count; too many bad ones open the breaker.
local SLICES = 10

local function trip(scope, breaker, policy)
  breaker.trips = breaker.trips + 1
  local cooldown = math.min(policy.max_cooldown_ms, policy.cooldown_ms * 2 ^ (breaker.trips - 1))
  -- Up to a tenth longer, so that breakers that tripped together do not come back together.
  breaker.retry_at = now + math.floor(cooldown * (1 + now % 1000 / 10000))
  turn_breaker(scope, breaker, 'open')
end

-- Counts in slices of the window: calls, failed and slow ones; answers the sums. Where the last bad
-- one is older than the window, only calls of the newest slice are summed up: they cannot trip it.
local function count_result(scope, policy, breaker, failed, slow)
  local epoch = math.floor(now * SLICES / policy.window_ms)
  local own, sums = 's' .. epoch % SLICES, {0, 0, 0}
  local names = {own}
  if failed + slow > 0 then breaker.bad = math.max(breaker.bad, epoch) end
  if epoch - breaker.bad < SLICES then
    for i = 1, SLICES do names[i] = 's' .. (i - 1) end
  end
  for i, text in ipairs(redis.call('HMGET', key.breaker .. scope, unpack(names))) do
    local at, calls, failures, slows = string.match(text or '', '^(%d+) (%d+) (%d+) (%d+)$')
    local age = at and epoch - tonumber(at)
    if age and age >= 0 and age < SLICES then
      sums = {sums[1] + calls, sums[2] + failures, sums[3] + slows}
    else
      calls, failures, slows = 0, 0, 0
    end
    if names[i] == own then
      redis.call('HSET', key.breaker .. scope, own,
                 string.format('%.0f %d %d %d', epoch, calls + 1, failures + failed, slows + slow))
    end
  end
  return sums[1] + 1, sums[2] + failed, sums[3] + slow
end

local function is_too_much(policy, breaker, calls, failed, slow)
  if policy.failures and breaker.failures >= policy.failures then return true end
  if calls < policy.min_calls then return false end
  return (policy.failure_rate and failed / calls >= policy.failure_rate)
      or (policy.slow_rate and slow / calls >= policy.slow_rate)
end

local function judge_probe(scope, breaker, policy, is_failed)
  if is_failed then return trip(scope, breaker, policy) end
  breaker.probed = breaker.probed + 1
  if breaker.probed >= policy.probes then
    breaker.ramp_at = now
    return turn_breaker(scope, breaker, 'closed')
  end
  save_breaker(scope, breaker)
end

local function judge(scope, breaker, policy, generation, outcome, took_ms)
  if not policy.probes or breaker.forced ~= '' or breaker.generation ~= generation
      or outcome == 'caller' then
    return
  end
  local is_failed, is_slow = outcome ~= 'success', policy.slow_rate and took_ms >= policy.slow_ms
  if breaker.state == 'half_open' then
    return judge_probe(scope, breaker, policy, is_failed or is_slow)
  end
  local failures, trips, bad = breaker.failures, breaker.trips, breaker.bad
  breaker.failures = is_failed and breaker.failures + 1 or 0
  if not is_failed and now - breaker.ramp_at >= policy.ramp_ms then breaker.trips = 0 end
  local calls, failed, slow = count_result(scope, policy, breaker, is_failed and 1 or 0,
                                            is_slow and 1 or 0)
  if is_too_much(policy, breaker, calls, failed, slow) then
    trip(scope, breaker, policy)
  elseif breaker.failures ~= failures or breaker.trips ~= trips or breaker.bad ~= bad then
    save_breaker(scope, breaker)
  else
    keep(key.breaker .. scope, KEPT_MS)
  end
end
