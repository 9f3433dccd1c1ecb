-- explain: where an instance is, what holds it up, and who waits with it.
--
-- Guarantee  nothing changes. What is answered is so at this moment, all of it.
-- KEYS    gate
-- ARGV    id most_holders most_flows
-- REPLY   where constraints stopped line flows pace waits, each a list; empty where it does not apply:
--         where: now place attempt since until
--         constraints: (scope limit used (holder...))...
--         stopped: (resource until)..., those whose breaker is open
--         line: tenant session is_open rank length more_urgent as_urgent backlog + shares
--         flows: (tenant session more_urgent as_urgent + shares)...
--         shares: session_weight tenant_weight session_score tenant_score
--         pace: drained window_ms mean_ms
--         waits: needs count (target holder)...
-- USES    now ready config entry limits room flow line breaker holders drain nodes
local SPAN = 2 ^ 44
most_holders, most_flows = tonumber(most_holders), tonumber(most_flows)
local entry = load(id)
if not entry then return {} end

local function text(value)
  return value and string.format('%.17g', value) or ''
end

local function where()
  local sets = {admitted = 'leases', dispatched = 'leases', queued = 'backlog'}
  local set = is_asleep(entry) and 'timers' or sets[entry.place] or entry.place
  local ends = redis.call('ZSCORE', key[set], id)
  if entry.place == 'queued' then ends = nil end
  return {text(now), entry.place, text(entry.attempt), text(entry.since), ends or ''}
end

-- Every scope that is full, in the order in which a spawn meets them.
local function constraints()
  local found = {}
  local function check(scope, free, limit, used)
    if not free then
      found[#found + 1] = {scope, text(limit), text(used), holders_of(scope, entry, most_holders)}
    end
  end
  check('session', session_room(entry.tenant, entry.session))
  check('tenant', tenant_room(entry.tenant))
  check('agent', agent_room(entry.agent))
  check('pool', pool_room(entry.pool))
  check('global', global_room())
  check('workers', worker_room(entry.pool))
  return found
end

local function stopped()
  local found = {}
  for resource in resources_of(entry.line) do
    local allowed, again_at = breaker_allows(resource)
    if not allowed then found[#found + 1] = {resource, text(again_at)} end
  end
  return found
end

-- How many of a flow are in more urgent classes than the entry, and how many in its own.
local function counts(flow)
  local first, after = entry.class * 2 * SPAN, (entry.class + 1) * 2 * SPAN
  return redis.call('ZCOUNT', key.flow .. flow, '-inf', '(' .. text(first)),
         redis.call('ZCOUNT', key.flow .. flow, text(first), '(' .. text(after))
end

-- The shares of a session and its tenant, and where they stand among those who have room.
local function standing(line, tenant, session)
  return text(weight_of('session', tree_of(tenant, session))), text(weight_of('tenant', tenant)),
         redis.call('ZSCORE', key.sessions .. line .. ':' .. tenant, session) or '',
         redis.call('ZSCORE', key.tenants .. line, tenant) or ''
end

local function place_in_line()
  local line, tenant, session = entry.line, entry.tenant, entry.session
  local flow = flow_of(line, tenant, session)
  local more_urgent, as_urgent = counts(flow)
  return {tenant, session, is_open(line) and '1' or '0',
          text(redis.call('ZRANK', key.flow .. flow, id)),
          text(redis.call('ZCARD', key.flow .. flow)), text(more_urgent), text(as_urgent),
          text(redis.call('ZCARD', key.backlog)), standing(line, tenant, session)}
end

-- The other flows of the pool. There may be more of them than anybody wants to count: then some
-- stand for all.
local function other_flows()
  local mine, found = flow_of(entry.line, entry.tenant, entry.session), {}
  for _, flow in ipairs(redis.call('SRANDMEMBER', key.flows, most_flows)) do
    local line, length, labels = string.match(flow, '^(%S+ %S*) (%d+) (.*)$')
    if flow ~= mine and string.match(line, '^%S+') == entry.pool then
      local tenant = string.sub(labels, 1, tonumber(length))
      local session = string.sub(labels, tonumber(length) + 1)
      local more_urgent, as_urgent = counts(flow)
      found[#found + 1] = {tenant, session, text(more_urgent), text(as_urgent),
                           standing(line, tenant, session)}
    end
  end
  return found
end

local function pace()
  local drained, window_ms = recent_drain('')
  return {text(drained), text(window_ms),
          redis.call('HGET', key.means, 'time:' .. entry.agent) or ''}
end

-- What it waits for, and of a lock who holds it.
local function waits()
  local needs = redis.call('HGET', key.wait .. id, 'needs')
  if not needs then return {} end
  local found = {needs, text(redis.call('SCARD', key.targets .. id))}
  local targets = redis.call('SRANDMEMBER', key.targets .. id, most_holders)
  table.sort(targets)
  for _, target in ipairs(targets) do
    found[#found + 1] = target
    found[#found + 1] = is_lock(target) and redis.call('HGET', key.holder .. target, 'holder') or ''
  end
  return found
end

if entry.place == 'queued' then
  return {where(), constraints(), stopped(), place_in_line(), other_flows(), pace(), waits()}
end
return {where(), {}, {}, {}, {}, {}, waits()}
