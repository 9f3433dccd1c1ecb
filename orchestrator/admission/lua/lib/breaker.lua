-- USES now config resource
-- breaker_of: the breaker of a scope now. An open one whose time has come is half open, but that
-- is only kept once a probe is let through.
-- breaker_wait: milliseconds until a call may be let through; nil where one may be now.
-- ramp_limit: how many calls may be under way while a closed breaker comes back; nil: any number.
-- save_breaker: keep it.
-- judge: let the result of a call count.
-- turn_breaker: into another state; what was under way before counts no more.
-- breaker_allows: whether instances that need this resource may start, and if not, until when.
local SLICES, KEPT_MS, PROBE_AGAIN_MS = 10, 86400000, 1000

local function breaker_of(scope, resource, policy)
  local v = redis.call('HMGET', key.breaker .. scope, 'state', 'generation', 'failures', 'trips',
                       'retry_at', 'ramp_at', 'probed')
  local forced = redis.call('HMGET', key.forced, scope, resource)
  local breaker = {state = v[1] or 'closed', generation = tonumber(v[2]) or 0,
                   failures = tonumber(v[3]) or 0, trips = tonumber(v[4]) or 0,
                   retry_at = tonumber(v[5]) or 0, probed = tonumber(v[7]) or 0,
                   ramp_at = tonumber(v[6]) or config.lost_at or 0,
                   forced = forced[1] or forced[2] or ''}
  if breaker.state == 'open' and policy.probes
      -- A time that is too far away was set before the clock jumped back.
      and (now >= breaker.retry_at or breaker.retry_at - now > policy.max_cooldown_ms * 1.1) then
    breaker.state, breaker.generation, breaker.probed = 'half_open', breaker.generation + 1, 0
    breaker.is_new = true
  end
  return breaker
end

local function breaker_wait(breaker, scope, policy)
  if breaker.forced == 'open' then return policy.cooldown_ms or 30000 end
  if breaker.forced == 'closed' or not policy.probes or breaker.state == 'closed' then return nil end
  if breaker.state == 'open' then return breaker.retry_at - now end
  local probing = breaker.is_new and 0 or redis.call('ZCARD', key.probes .. scope)
  if breaker.probed + probing >= policy.probes then return PROBE_AGAIN_MS end
  return nil
end

local function ramp_limit(breaker, policy)
  local passed = now - breaker.ramp_at
  if not policy.probes or breaker.state ~= 'closed' or breaker.forced ~= ''
      or breaker.ramp_at == 0 or passed < 0 or passed >= policy.ramp_ms then
    return nil
  end
  -- Doubled ten times: from the probes to a thousand times as many.
  return math.floor(policy.probes * 2 ^ (10 * passed / policy.ramp_ms))
end

local function save_breaker(scope, breaker)
  redis.call('HSET', key.breaker .. scope, 'state', breaker.state, 'generation', breaker.generation,
             'failures', breaker.failures, 'trips', breaker.trips, 'retry_at', breaker.retry_at,
             'ramp_at', breaker.ramp_at, 'probed', breaker.probed)
  redis.call('PEXPIRE', key.breaker .. scope, KEPT_MS)
  breaker.is_new = nil
end

local function turn_breaker(scope, breaker, state)
  breaker.state, breaker.generation = state, breaker.generation + 1
  breaker.failures, breaker.probed = 0, 0
  redis.call('DEL', key.breaker .. scope, key.probes .. scope)
  if state == 'open' then
    redis.call('ZADD', key.tripped, breaker.retry_at, scope)
  else
    redis.call('ZREM', key.tripped, scope)
  end
  save_breaker(scope, breaker)
  if state == 'closed' then
    -- Lines that were held up are looked at again by whoever promotes next; there are few.
    for _, line in ipairs(redis.call('ZRANGE', key.closed, 0, 99)) do
      redis.call('ZADD', key.closed, now, line)
    end
  end
end

local function trip(scope, breaker, policy)
  breaker.trips = breaker.trips + 1
  local cooldown = math.min(policy.max_cooldown_ms, policy.cooldown_ms * 2 ^ (breaker.trips - 1))
  -- Up to a tenth longer, so that breakers that tripped together do not come back together.
  breaker.retry_at = now + math.floor(cooldown * (1 + now % 1000 / 10000))
  turn_breaker(scope, breaker, 'open')
end

-- Counts in slices of the window: calls, failed and slow ones; answers the sums.
local function count_result(scope, policy, failed, slow)
  local epoch = math.floor(now * SLICES / policy.window_ms)
  local own, sums = 's' .. epoch % SLICES, {0, 0, 0}
  local names = {}
  for i = 1, SLICES do names[i] = 's' .. (i - 1) end
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
  breaker.failures = is_failed and breaker.failures + 1 or 0
  if not is_failed and now - breaker.ramp_at >= policy.ramp_ms then breaker.trips = 0 end
  local calls, failed, slow = count_result(scope, policy, is_failed and 1 or 0, is_slow and 1 or 0)
  if is_too_much(policy, breaker, calls, failed, slow) then
    trip(scope, breaker, policy)
  else
    save_breaker(scope, breaker)
  end
end

local function breaker_allows(resource, tenant)
  local policy = policy_of(resource)
  if policy.per_tenant == 1 and not tenant then return true end
  local scope = scope_of(resource, tenant, policy)
  local wait_ms = breaker_wait(breaker_of(scope, resource, policy), scope, policy)
  if wait_ms then return false, now + wait_ms end
  return true
end
