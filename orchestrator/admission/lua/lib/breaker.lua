-- USES now config resource
-- breaker_of: the breaker of a scope now. An open one whose time has come is half open, but that
-- is only kept once a probe is let through. `bad`: the newest slice with a failed or slow call.
-- breaker_wait: milliseconds until a call may be let through; nil where one may be now.
-- ramp_limit: how many calls may be under way while a closed breaker comes back; nil: any number.
-- save_breaker: keep it.
-- turn_breaker: into another state; what was under way before counts no more.
-- breaker_allows: whether instances that need this resource may start, and if not, until when.
local KEPT_MS, PROBE_AGAIN_MS = 43200000, 1000

local function breaker_of(scope, resource, policy)
  local v = redis.call('HMGET', key.breaker .. scope, 'state', 'generation', 'failures', 'trips',
                       'retry_at', 'ramp_at', 'probed', 'bad')
  local forced = redis.call('HMGET', key.forced, scope, resource)
  local breaker = {state = v[1] or 'closed', generation = tonumber(v[2]) or 0,
                   failures = tonumber(v[3]) or 0, trips = tonumber(v[4]) or 0,
                   retry_at = tonumber(v[5]) or 0, probed = tonumber(v[7]) or 0,
                   bad = tonumber(v[8]) or 0,
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
             'ramp_at', breaker.ramp_at, 'probed', breaker.probed, 'bad', breaker.bad)
  keep(key.breaker .. scope, KEPT_MS)
  breaker.is_new = nil
end

local function turn_breaker(scope, breaker, state)
  breaker.state, breaker.generation = state, breaker.generation + 1
  breaker.failures, breaker.probed, breaker.bad = 0, 0, 0
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

local function breaker_allows(resource, tenant)
  local policy = policy_of(resource)
  if policy.per_tenant == 1 and not tenant then return true end
  local scope = scope_of(resource, tenant, policy)
  local wait_ms = breaker_wait(breaker_of(scope, resource, policy), scope, policy)
  if wait_ms then return false, now + wait_ms end
  return true
end
