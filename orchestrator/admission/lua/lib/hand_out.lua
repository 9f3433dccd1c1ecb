-- USES config message slots park
-- hand_out: give an instance a slot and a new attempt, and call its worker in the same step:
-- by a broker message, or by name where a thread of a worker waits to go on.
local function call_worker(id, entry, urgency)
  if entry.thread ~= '' then
    redis.call('PUBLISH', key.granted .. entry.thread, id .. ' ' .. entry.attempt)
    return
  end
  local queue = key.queue .. entry.pool
  local text = message(id, entry.attempt, entry.agent, queue, urgency)
  if config.outbox then
    redis.call('LPUSH', key.outbox, text)
  elseif urgency == 0 then
    redis.call('LPUSH', queue, text)
  else
    redis.call('LPUSH', queue .. '\6\22' .. urgency, text)
  end
end

local function hand_out(id, entry)
  local again = entry.attempt > 0
  entry.attempt = entry.attempt + 1
  redis.call('HSET', key.instance .. id, 'attempt', entry.attempt)
  move(id, entry, 'dispatched')
  take_slot(id, entry, config.dispatch_ms)
  call_worker(id, entry, level(entry, again))
end
