-- learn: stop here unless the gate knows the live instances or is being filled with them.
if redis.call('EXISTS', key.generation, key.rebuilding) == 0 then
  return redis.error_reply('GATE_EMPTY the gate must be rebuilt')
end
