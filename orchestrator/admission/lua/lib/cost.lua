-- USES now config limits share refresh
-- cost: what an instance takes, in thousandths of a start, milliseconds of slot time, or tokens.
-- typical: what its kind took on average.
-- estimate: before it runs: as declared, within FAR times of what is typical. A declaration that is
-- wrong is put right when the slot is given back; until then it must not move its tenant far.
-- measure: after it has held a slot: let it count for its kind; answers what it took.
-- settle: measure it, and put the tags that were charged right.
local function average(field, used)
  local mean = tonumber(redis.call('HGET', key.means, field)) or used
  redis.call('HSET', key.means, field, string.format('%.17g', mean + (used - mean) / 8))
end

local FAR = 4

local function typical(entry)
  if config.fair_unit == 'starts' then return 1000 end
  local field = (config.fair_unit == 'tokens' and 'tokens:' or 'time:') .. entry.agent
  return tonumber(redis.call('HGET', key.means, field)) or 1000
end

local function estimate(entry, mean)
  if config.fair_unit == 'starts' or not entry.cost then return mean end
  local declared = entry.cost * (config.fair_unit == 'tokens' and 1 or 1000)
  return math.max(mean / FAR, math.min(mean * FAR, declared))
end

local function measure(entry)
  local used = math.max(1, now - (entry.held_since or now))
  average('time:' .. entry.agent, used)
  if config.fair_unit == 'tokens' then
    used = math.max(1, entry.spent or 0)
    average('tokens:' .. entry.agent, used)
  end
  return used
end

local function settle(entry)
  local used = measure(entry)
  if config.fair_unit == 'starts' then return end
  local more = entry.charge and used - entry.charge or 0
  if more == 0 then return end
  local line, tenant, session = entry.line, entry.tenant, entry.session
  local tree = tree_of(tenant, session)
  local of_session = correct(key.shares_sessions .. line .. ':' .. tenant, entry.class, session,
                             more / weight_of('session', tree), entry.sequence)
  local of_tenant = correct(key.shares_tenants .. line, entry.class, tenant,
                            more / weight_of('tenant', tenant), entry.sequence)
  if of_session or of_tenant then refresh(line, tenant, session) end
end
