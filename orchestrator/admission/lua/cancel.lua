-- cancel: these instances have been ended in PostgreSQL; take them out of line, and have those
-- that run stopped. A running one keeps its slot until its worker has really stopped it.
--
-- KEYS    gate
-- ARGV    ids...
-- REPLY   more
-- USES    freely now ready config entry waits ends drop pump budget_leave
for _, id in ipairs(ids) do
  local entry = load(id)
  if entry then
    if entry.place == 'dispatched' or entry.thread ~= '' then
      redis.call('HSET', key.instance .. id, 'stop', 'CANCELLED')
      if entry.place == 'dispatched' then
        redis.call('ZADD', key.stopping, 'NX', now, id)
        redis.call('ZREM', key.candidates .. entry.pool, id)
      end
      stop_waiting(id)
      redis.call('PUBLISH', key.stop, id)
      if entry.place == 'queued' then
        -- Its thread was about to get a slot again; now it only has to end.
        unpark(id, entry)
        redis.call('ZADD', key.suspended, now + config.lease_ms, id)
        move(id, entry, 'suspended')
      end
    else
      drop(id, entry)
      budget_leave(id)
    end
  end
  tell_end(id)
end
local more = wake_ended(100)
return math.max(more, pump(16))
