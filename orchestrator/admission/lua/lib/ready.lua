-- ready: stop here unless the gate knows the live instances; the caller rebuilds it first.
if redis.call('EXISTS', key.generation) == 0 then
  return redis.error_reply('GATE_EMPTY the gate must be rebuilt')
end
