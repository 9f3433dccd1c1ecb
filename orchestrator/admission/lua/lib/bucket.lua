-- USES now config resource
-- levels_of: what is in the buckets of a scope now. They share one clock, so they are filled
-- together; the level of each grows by `refill` in `window_ms`, up to `capacity`, and may be below
-- zero. Buckets that nobody has used are full; after a loss of Redis they begin empty, because
-- what was taken just before is not known.
-- bucket_wait: milliseconds until all amounts are there, and what is short.
-- hear: what the provider itself says lowers the levels, never raises them.
-- write_levels: keep them; full buckets are not kept for ever.
local LONGEST_BLOCK_MS = 3600000

local function levels_of(scope, policy)
  local v = redis.call('HMGET', key.bucket .. scope, 'at', 'blocked', 'mean_ms', unpack(DIMENSIONS))
  local levels = {blocked = tonumber(v[2]) or 0, mean_ms = tonumber(v[3]) or 0}
  -- A clock that has jumped back refills nothing; a block that is too long was made before.
  local passed = math.max(0, now - (tonumber(v[1]) or now))
  if levels.blocked - now > LONGEST_BLOCK_MS then levels.blocked = 0 end
  for i, name in ipairs(DIMENSIONS) do
    local capacity = policy[name .. '_capacity']
    if capacity then
      local level, since = tonumber(v[3 + i]), passed
      if not level then
        level = config.lost_at and 0 or capacity
        since = config.lost_at and math.max(0, now - config.lost_at) or 0
      end
      local gained = policy[name .. '_refill'] * since / policy[name .. '_window_ms']
      levels[name] = math.min(capacity, level + gained)
    end
  end
  return levels
end

local function milliseconds_for(amount, name, policy)
  return math.ceil(amount * policy[name .. '_window_ms'] / policy[name .. '_refill'])
end

local function bucket_wait(levels, policy, amounts)
  local wait, short = math.max(0, levels.blocked - now), 'provider'
  for _, name in ipairs(DIMENSIONS) do
    if levels[name] and amounts[name] > levels[name] then
      local longer = milliseconds_for(amounts[name] - levels[name], name, policy)
      if longer > wait then wait, short = longer, name end
    end
  end
  return wait, short
end

local function hear(levels, policy, block_ms, left)
  block_ms = math.min(block_ms, LONGEST_BLOCK_MS)
  if block_ms > 0 then
    levels.blocked = math.max(levels.blocked, now + block_ms)
    if levels.requests then
      -- Empty when the block ends, so that it does not end with a burst.
      local gained = policy.requests_refill * block_ms / policy.requests_window_ms
      levels.requests = math.min(levels.requests, -gained)
    end
  end
  for name, amount in pairs(left) do
    if levels[name] and amount then levels[name] = math.min(levels[name], amount) end
  end
end

local function write_levels(scope, levels, policy)
  local fields = {'at', now, 'blocked', levels.blocked, 'mean_ms', levels.mean_ms}
  local full_ms = math.max(0, levels.blocked - now)
  for _, name in ipairs(DIMENSIONS) do
    if levels[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = levels[name]
      local missing = policy[name .. '_capacity'] - levels[name]
      full_ms = math.max(full_ms, milliseconds_for(missing, name, policy))
    end
  end
  redis.call('HSET', key.bucket .. scope, unpack(fields))
  redis.call('PEXPIRE', key.bucket .. scope, full_ms + 600000)
end
