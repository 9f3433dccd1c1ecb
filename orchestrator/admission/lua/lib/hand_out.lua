-- USES now config message slots park
-- hand_out: give an instance a slot and a new attempt, and call its worker in the same step:
-- by a broker message, or by name where a thread of a worker waits to go on. `charged` is what
-- its flow was charged for it; nothing where nobody waited.
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

local function hand_out(id, entry, charged)
  local again = entry.attempt > 0
  entry.attempt = entry.attempt + 1
  entry.place = 'dispatched'
  redis.call('HSET', key.instance .. id, 'attempt', entry.attempt, 'place', entry.place,
             'held_since', now, 'charge', charged or '', 'spent', 0)
  take_slot(id, entry, config.dispatch_ms)
  may_give_way(id, entry)
  call_worker(id, entry, level(charged and entry.class or entry.priority, again))
end
