-- USES now entry refresh
-- park: put an instance in the queue of its session, by class and then by arrival.
-- Within a class those that have run before (resumed, retried) go ahead of new ones.
-- unpark: take it out again.
local SPAN = 2 ^ 44

local function flow_of(entry)
  return entry.pool .. ' ' .. tree_of(entry.tenant, entry.session)
end

local function level(entry, again)
  return entry.priority * 2 + (again and 0 or 1)
end

local function count_in_backlog(id, entry)
  redis.call('ZADD', key.backlog, 'NX', now, id)
  redis.call('ZADD', key.backlog_tenant .. entry.tenant, 'NX', now, id)
end

local function leave_backlog(id, entry)
  redis.call('ZREM', key.backlog, id)
  redis.call('ZREM', key.backlog_tenant .. entry.tenant, id)
end

local function park(id, entry, again)
  local rank = level(entry, again) * SPAN + redis.call('INCR', key.sequence)
  redis.call('ZADD', key.flow .. flow_of(entry), rank, id)
  redis.call('SADD', key.flows, flow_of(entry))
  redis.call('SADD', key.pools, entry.pool)
  count_in_backlog(id, entry)
  move(id, entry, 'queued')
  refresh(entry.pool, entry.tenant, entry.session)
end

local function unpark(id, entry)
  redis.call('ZREM', key.flow .. flow_of(entry), id)
  leave_backlog(id, entry)
  refresh(entry.pool, entry.tenant, entry.session)
end

-- Not before a time: it counts as queued, but is in no flow until `promote` parks it.
local function delay(id, entry, delay_ms)
  redis.call('ZADD', key.delayed, now + delay_ms, id)
  count_in_backlog(id, entry)
  move(id, entry, 'delayed')
end
