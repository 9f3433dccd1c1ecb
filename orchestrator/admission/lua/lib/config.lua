-- config: the limits and times that hold for all; numbers, but for `fair_unit`. Where there are none,
--         the gate was emptied (again) while it was being filled.
local config = {}
do
  local names = {'max_depth', 'session', 'tenant', 'agent', 'pool', 'global', 'session_queue',
                 'tenant_queue', 'global_queue', 'lease_ms', 'dispatch_ms', 'lost_at', 'aging_ms',
                 'outbox', 'preempt_from', 'fair_unit'}
  local values = redis.call('HMGET', key.config, unpack(names))
  for i, name in ipairs(names) do config[name] = tonumber(values[i]) end
  if not config.lease_ms then
    return redis.error_reply('GATE_EMPTY the gate must be rebuilt')
  end
  config.outbox = config.outbox == 1
  config.preempt_from = config.preempt_from or -1
  config.fair_unit = values[#names]
end
