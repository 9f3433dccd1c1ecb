-- USES now config
-- drained: one of this tenant has left the queue to run.
-- recent_drain: how many have left it in the last ten to twenty seconds, in all ('') or of a
-- tenant, and how many milliseconds these were.
-- drain_wait: milliseconds until `count` more have left it, in all ('') or of a tenant, as fast as
-- it went in the last ten to twenty seconds; the lease time where nothing moved.
-- slot_wait: milliseconds until one of `used` slots is free, as long as this kind holds one.
local WINDOW = 10000

local function drained(tenant)
  local counts = key.drained .. math.floor(now / WINDOW)
  if redis.call('HINCRBY', counts, '', 1) == 1 then
    redis.call('PEXPIRE', counts, WINDOW * 3)
  end
  redis.call('HINCRBY', counts, tenant, 1)
end

local function recent_drain(name)
  local window, left = math.floor(now / WINDOW), 0
  for _, one in ipairs({window, window - 1}) do
    left = left + (tonumber(redis.call('HGET', key.drained .. one, name)) or 0)
  end
  return left, WINDOW + now % WINDOW
end

local function drain_wait(name, count)
  local left, window_ms = recent_drain(name)
  if left == 0 then return config.lease_ms end
  return math.ceil(count * window_ms / left)
end

local function slot_wait(agent, used)
  local mean = tonumber(redis.call('HGET', key.means, 'time:' .. agent))
  return mean and math.ceil(mean / math.max(1, used)) or config.lease_ms
end
