-- load_budget: an account as PostgreSQL has it, with those that are live below it.
--
-- Guarantee  of an account that the gate knows only what is newer is taken: the bounds of a newer
--            version, sums for what was not counted before. For an empty gate as well.
-- KEYS    gate
-- ARGV    budget definition ids...
-- REPLY   version
-- USES    now account
if redis.call('EXISTS', key.generation) + redis.call('EXISTS', key.rebuilding) == 0 then
  return redis.error_reply('GATE_EMPTY the gate must be rebuilt')
end
local wanted = cjson.decode(definition)
local known = account(budget)
local is_newer = not known or wanted.version > known.version
local stored, fields, gone = key.account .. budget, {}, {}

local function put(field, value)
  if value == nil then
    gone[#gone + 1] = field
  else
    fields[#fields + 1] = field
    fields[#fields + 1] = type(value) == 'number' and whole(value) or value
  end
end

if not known then
  for _, field in ipairs({'owner', 'tenant', 'session', 'above', 'base', 'subs'}) do
    put(field, wanted[field])
  end
  put('calls', 0)
end
if is_newer then
  for _, field in ipairs({'version', 'policy', 'live', 'depth', 'deadline', 'ended'}) do
    put(field, wanted[field])
  end
  for _, name in ipairs({'tokens', 'usd', 'spawns', 'live', 'depth', 'deadline'}) do
    put(name .. '_told', wanted.told[name])
  end
end
for _, quantity in ipairs(QUANTITIES) do
  local part, counted = wanted[quantity] or {}, known and known[quantity]
  if is_newer then put(quantity, part.limit) end
  if part.limit and not counted then
    put(quantity .. '_used', part.used)
    put(quantity .. '_lent', part.lent)
    put(quantity .. '_from', part.from)
  elseif part.limit and known[quantity .. '_from'] == '' then
    put(quantity .. '_from', part.from)
  elseif counted and not part.limit then
    for _, kind in ipairs({'_used', '_lent', '_from'}) do put(quantity .. kind, nil) end
  end
end
if #fields > 0 then redis.call('HSET', stored, unpack(fields)) end
if #gone > 0 then redis.call('HDEL', stored, unpack(gone)) end
redis.call('SADD', key.accounts, budget)

-- Which account was charged for the spawn: the owner's is above its own.
local chain = accounts_from(budget)
local below = nearest_account(chain, 'spawns')
local first = table.remove(chain, 1)
local own = nearest_account(chain, 'spawns')

for _, id in ipairs(ids) do
  -- `=` before those that stand right under it, `-` before those further below.
  local one = string.sub(id, 2)
  redis.call('SADD', key.account_live .. budget, one)
  if string.sub(id, 1, 1) == '=' then
    local paid = below
    if one == first.owner then paid = own end
    redis.call('HSETNX', key.account_of, one, (paid and paid.name or '') .. '\n' .. budget)
  end
end

if is_newer then
  redis.call('ZREM', key.accounts_due, budget)
  watch_deadline(budget, wanted.deadline)
end
local found = account(budget)
for _, quantity in ipairs(QUANTITIES) do
  if found[quantity] then judge_account(found, quantity) end
end
return whole(found.version)
