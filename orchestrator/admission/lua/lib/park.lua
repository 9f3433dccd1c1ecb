-- USES now config entry limits flow tidy line refresh timers
-- park: put an instance in the queue of its session, by class and then by arrival.
-- Within a class those that have run before (resumed, retried) go ahead of new ones.
-- One that is paused is put aside instead until it is resumed, unless a thread waits to go on.
-- unpark: take it out again. leave_line: the same, while the caller refreshes.
-- delay: not before a time: it counts as queued, but is in no flow until `promote` parks it.
-- rank_again: it waits on in another class, or in another line.
local SPAN = 2 ^ 44

local function level(class, again)
  return class * 2 + (again and 0 or 1)
end

-- When somebody has to look at it next: to raise its class, or because its time is over.
local function next_look(entry, from)
  local look = entry.class > 0 and from + config.aging_ms or math.huge
  if entry.expires and entry.attempt == 0 then look = math.min(look, entry.expires) end
  return look == math.huge and '+inf' or look
end

local function count_in_backlog(id, entry, look)
  redis.call('ZADD', key.backlog, look, id)
  redis.call('SADD', key.backlog_tenant .. entry.tenant, id)
  redis.call('SADD', key.backlog_session .. tree_of(entry.tenant, entry.session), id)
end

local function leave_backlog(id, entry)
  redis.call('ZREM', key.backlog, id)
  redis.call('SREM', key.backlog_tenant .. entry.tenant, id)
  redis.call('SREM', key.backlog_session .. tree_of(entry.tenant, entry.session), id)
end

local function enter_flow(id, entry, rank)
  redis.call('ZADD', key.flow .. flow_of(entry.line, entry.tenant, entry.session), rank, id)
  local opened = open_flow(entry.line, entry.tenant, entry.session, entry.sequence)
  if opened and entry.sequence % 8 == 0 then tidy(entry.line, entry.tenant) end
  refresh(entry.line, entry.tenant, entry.session, true)
end

local function set_aside(id, entry)
  leave_backlog(id, entry)
  redis.call('ZADD', key.paused, now, id)
  move(id, entry, 'paused')
end

local function park(id, entry, again)
  if entry.paused and (entry.thread or '') == '' then return set_aside(id, entry) end
  entry.place, entry.class, entry.since = 'queued', entry.priority, now
  entry.sequence = redis.call('INCR', key.sequence)
  read_overrides(entry)
  entry.line = line_of(entry)
  redis.call('HSET', key.instance .. id, 'place', 'queued', 'class', entry.class,
             'since', now, 'sequence', entry.sequence, 'line', entry.line)
  count_in_backlog(id, entry, next_look(entry, now))
  if entry.priority <= config.preempt_from then
    redis.call('ZADD', key.urgent, entry.priority * SPAN + entry.sequence, id)
  end
  enter_flow(id, entry, level(entry.class, again) * SPAN + entry.sequence)
end

local function leave_line(id, entry)
  redis.call('ZREM', key.flow .. flow_of(entry.line, entry.tenant, entry.session), id)
  leave_backlog(id, entry)
  if redis.call('ZREM', key.urgent, id) == 1 then redis.call('ZREM', key.promised, id) end
end

local function unpark(id, entry)
  leave_line(id, entry)
  refresh(entry.line, entry.tenant, entry.session)
end

local function rank_again(id, entry, class, line)
  local flow = key.flow .. flow_of(entry.line, entry.tenant, entry.session)
  local rank = redis.call('ZSCORE', flow, id) + (class - entry.class) * 2 * SPAN
  redis.call('ZREM', flow, id)
  if line ~= entry.line then refresh(entry.line, entry.tenant, entry.session) end
  entry.class, entry.line = class, line
  redis.call('HSET', key.instance .. id, 'class', class, 'line', line)
  enter_flow(id, entry, rank)
end

local function delay(id, entry, delay_ms)
  set_time(key.delayed, id, delay_ms)
  count_in_backlog(id, entry, '+inf')
  move(id, entry, 'delayed')
end
