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
  local names = {'at', 'blocked', 'mean_ms'}
  for i, bucket in ipairs(policy.buckets) do names[3 + i] = bucket.name end
  local v = redis.call('HMGET', key.bucket .. scope, unpack(names))
  local levels = {blocked = tonumber(v[2]) or 0, mean_ms = tonumber(v[3]) or 0}
  -- A clock that has jumped back refills nothing; a block that is too long was made before.
  local passed = math.max(0, now - (tonumber(v[1]) or now))
  if levels.blocked - now > LONGEST_BLOCK_MS then levels.blocked = 0 end
  for i, bucket in ipairs(policy.buckets) do
    local level, since = tonumber(v[3 + i]), passed
    if not level then
      level = config.lost_at and 0 or bucket.capacity
      since = config.lost_at and math.max(0, now - config.lost_at) or 0
    end
    local gained = bucket.refill * since / bucket.window_ms
    levels[bucket.name] = math.min(bucket.capacity, level + gained)
  end
  return levels
end

local function milliseconds_for(amount, bucket)
  return math.ceil(amount * bucket.window_ms / bucket.refill)
end

local function bucket_wait(levels, policy, amounts)
  local wait, short = math.max(0, levels.blocked - now), 'provider'
  for _, bucket in ipairs(policy.buckets) do
    local name = bucket.name
    if amounts[name] > levels[name] then
      local longer = milliseconds_for(amounts[name] - levels[name], bucket)
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
      local bucket = policy.buckets[1]
      local gained = bucket.refill * block_ms / bucket.window_ms
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
  for _, bucket in ipairs(policy.buckets) do
    local level = levels[bucket.name]
    fields[#fields + 1] = bucket.name
    fields[#fields + 1] = level
    full_ms = math.max(full_ms, milliseconds_for(bucket.capacity - level, bucket))
  end
  redis.call('HSET', key.bucket .. scope, unpack(fields))
  keep(key.bucket .. scope, full_ms + 600000)
end
