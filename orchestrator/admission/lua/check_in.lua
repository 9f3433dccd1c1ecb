-- check_in: decide about one spawn, looking at everything at once.
--
-- Guarantee  admitted: a slot is held for it, within every limit, until `follow` or expiry.
--            queued: a place in the queue is held in the same way.
--            refused: nothing is left behind but the count of the refusal.
-- KEYS    gate
-- ARGV    id session tenant pool agent priority depth parent parent_attempt on_limit budget
-- REPLY   decision refusal scope limit current retry_after_ms [account asked]
-- USES    now ready config entry room slots park expire pump budget
local function refuse(code, scope, limit, current, retry_after_ms, ...)
  redis.call('HINCRBY', key.refusals, code, 1)
  return {'refused', code, scope, tostring(limit), tostring(current), tostring(retry_after_ms),
          ...}
end

local held = load(id)
if held and held.place == 'admitted' then return {'admitted', '', '', '', '', ''} end
if held then return {'queued', '', '', '', '', ''} end

-- What an ended lease frees belongs to those who wait, also when this spawn is refused.
if expire(4) > 0 then pump(4) end

if tonumber(depth) > config.max_depth then
  return refuse('MAX_DEPTH_EXCEEDED', 'depth', config.max_depth, depth, '')
end
if parent ~= '' then
  local known = load(parent)
  if not known or known.stop ~= '' or known.attempt ~= tonumber(parent_attempt) then
    return refuse('PARENT_ENDED', 'parent', '', '', '')
  end
end

local entry = {place = 'admitted', attempt = 0, session = session, tenant = tenant, pool = pool,
               agent = agent, priority = tonumber(priority)}

local plan = budget_plan(entry, depth, parent, budget)
if plan.refused then return refuse('BUDGET_EXCEEDED', budget_reply(plan.refused)) end

-- Those who wait go first: without this a newcomer would take a slot that a queued one of the
-- same pool is about to get.
local function others_wait()
  return redis.call('ZCARD', key.tenants .. pool) > 0
      or redis.call('EXISTS', key.flow .. flow_of(entry)) == 1
end
if others_wait() then pump(4) end
local scope, limit, used = full_scope(entry)

if not scope and not others_wait() then
  create(id, entry)
  take_slot(id, entry, config.lease_ms)
  budget_enter(id, entry, plan)
  return {'admitted', '', '', '', '', ''}
end

if on_limit == 'refuse' then
  return refuse('CONCURRENT_LIMIT', scope or 'queue', limit or 0, used or 0, config.lease_ms)
end

local queued = redis.call('ZCARD', key.backlog)
if queued >= config.global_queue then
  return refuse('QUEUE_FULL', 'global', config.global_queue, queued, config.lease_ms)
end
queued = redis.call('ZCARD', key.backlog_tenant .. tenant)
if queued >= config.tenant_queue then
  return refuse('QUEUE_FULL', 'tenant', config.tenant_queue, queued, config.lease_ms)
end

entry.place = 'reserved'
create(id, entry)
budget_enter(id, entry, plan)
redis.call('ZADD', key.reserved, now + config.lease_ms, id)
count_in_backlog(id, entry)
return {'queued', '', scope or 'queue', tostring(limit or 0), tostring(used or 0), ''}
