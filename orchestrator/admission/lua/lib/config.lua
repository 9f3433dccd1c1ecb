-- config: the limits and times, as numbers.
local config = {}
do
  local names = {'max_depth', 'session', 'tenant', 'pool', 'global', 'tenant_queue',
                 'global_queue', 'lease_ms', 'dispatch_ms', 'lost_at'}
  local values = redis.call('HMGET', key.config, unpack(names))
  for i, name in ipairs(names) do config[name] = tonumber(values[i]) end
  config.outbox = redis.call('HGET', key.config, 'outbox') == '1'
end
