-- remove_worker: forget what a worker offers.
-- offer: record what a worker offers to a pool, keeping the sum over all workers.
local function offer(worker, pool, capacity)
  local before = redis.call('HGET', key.worker .. worker, pool) or '0'
  if tonumber(before) ~= capacity then
    redis.call('HINCRBY', key.capacity, pool, capacity - tonumber(before))
    redis.call('HSET', key.worker .. worker, pool, capacity)
  end
end

local function remove_worker(worker)
  for _, pool in ipairs(redis.call('HKEYS', key.worker .. worker)) do
    offer(worker, pool, 0)
  end
  redis.call('ZREM', key.workers, worker)
  redis.call('DEL', key.worker .. worker)
end
