-- check_in: decide about one spawn, looking at everything at once.
--
-- Guarantee  admitted: a slot is held for it, within every limit, until `follow` or expiry.
--            queued: a place in the queue is held in the same way.
--            refused: nothing is left behind but the count of the refusal.
-- KEYS    gate
-- ARGV    id session tenant pool agent priority depth parent parent_attempt on_limit budget delay_ms
-- ARGV    held preemptible
-- REPLY   decision refusal scope limit current retry_after_ms [account asked] [holder...]
-- USES    now ready config entry limits room flow line refresh slots park expire drain holders pump
-- USES    budget due
local function refuse(code, scope, limit, current, retry_after_ms, ...)
  redis.call('HINCRBY', key.refusals, code, 1)
  return {'refused', code, scope, tostring(limit), tostring(current), tostring(retry_after_ms),
          ...}
end

local place = redis.call('HGET', key.instance .. id, 'place')
if place then return {place == 'admitted' and place or 'queued', '', '', '', '', ''} end

local entry = {place = 'admitted', attempt = 0, session = session, tenant = tenant, pool = pool,
               agent = agent, priority = tonumber(priority), preemptible = preemptible}
local function parent_runs()
  if parent == '' then return true end
  local v = redis.call('HMGET', key.instance .. parent, 'attempt', 'stop')
  return tonumber(v[1]) == tonumber(parent_attempt) and (v[2] or '') == ''
end

-- The common way, short because it makes few functions: nobody waits, no budget is near, nothing
-- has run out, no resource is declared, and there is room.
local later = tonumber(delay_ms) > 0 or held == '1'
if budget == '' and not later and tonumber(depth) <= config.max_depth
    and redis.call('EXISTS', key.ready .. pool, key.tenant_lines .. tenant,
                   key.account .. session_account(tenant, session)) == 0
    and (parent == '' or redis.call('HEXISTS', key.account_of, parent) == 0)
    and not (is_due(key.leases) or is_due(key.reserved) or is_due(key.suspended)
             or is_due(key.workers))
    and parent_runs() then
  read_overrides(entry)
  if (override('resources:' .. agent) or '') == '' and not full_scope(entry) then
    create(id, entry)
    take_slot(id, entry, config.lease_ms)
    return {'admitted', '', '', '', '', ''}
  end
end

-- What an ended lease frees belongs to those who wait, also when this spawn is refused.
if expire(4) > 0 then pump(4) end

if tonumber(depth) > config.max_depth then
  return refuse('MAX_DEPTH_EXCEEDED', 'depth', config.max_depth, depth, '')
end
if not parent_runs() then return refuse('PARENT_ENDED', 'parent', '', '', '') end
read_overrides(entry)

local plan = budget_plan(entry, depth, parent, budget)
if plan.refused then return refuse('BUDGET_EXCEEDED', budget_reply(plan.refused)) end

-- Those who wait go first: without this a newcomer would take a slot that a queued one of the
-- same pool, or of its own session, is about to get.
local anybody = redis.call('EXISTS', key.ready .. pool, key.tenant_lines .. tenant) > 0
local function others_wait()
  return redis.call('EXISTS', key.ready .. pool,
                    key.flow .. flow_of(line_of(entry), tenant, session)) > 0
end
local waits = anybody and others_wait()
if waits then
  pump(4)
  waits = others_wait()
end
local scope, limit, used = full_scope(entry)
local held_ms = line_wait(line_of(entry))
if held_ms then scope, limit, used = 'breaker', nil, nil end

if not scope and not waits and not later then
  create(id, entry)
  take_slot(id, entry, config.lease_ms)
  budget_enter(id, entry, plan)
  if anybody then refresh_lines(tenant, session) end
  return {'admitted', '', '', '', '', ''}
end

if on_limit == 'refuse' and not later then
  if held_ms then return refuse('BREAKER_OPEN', 'breaker', '', '', held_ms) end
  return refuse('CONCURRENT_LIMIT', scope or 'queue', limit or 0, used or 0,
                slot_wait(agent, used or 0), unpack(holders_of(scope, entry, 10)))
end

local bounds = {
  {'global', redis.call('ZCARD', key.backlog), ''},
  {'tenant', redis.call('SCARD', key.backlog_tenant .. tenant), tenant},
  {'session', redis.call('SCARD', key.backlog_session .. tree_of(tenant, session)), tenant},
}
for _, bound in ipairs(bounds) do
  local most, queued = config[bound[1] .. '_queue'], bound[2]
  if queued >= most then
    return refuse('QUEUE_FULL', bound[1], most, queued, drain_wait(bound[3], queued - most + 1))
  end
end

entry.place = 'reserved'
create(id, entry)
budget_enter(id, entry, plan)
redis.call('ZADD', key.reserved, now + config.lease_ms, id)
count_in_backlog(id, entry, '+inf')
return {'queued', '', scope or 'queue', tostring(limit or 0), tostring(used or 0), ''}
