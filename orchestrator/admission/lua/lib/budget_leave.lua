-- USES account
-- close_accounts: return what is left of an account whose owner has left the gate and below which
-- nothing is live or calls; then the same for the one above.
-- budget_leave: the gate forgets an instance; it is live no more.
-- budget_unspawn: it will not be recorded, so it was no spawn. Before `budget_leave`.

local function close_accounts(name)
  while name and name ~= '' do
    local found = account(name)
    if not found or not found.gone or found.subs > 0 or found.calls > 0
        or redis.call('SCARD', key.account_live .. name) > 0 then
      return
    end
    for _, quantity in ipairs(QUANTITIES) do
      if found[quantity] then
        local from, used = found[quantity .. '_from'], found[quantity .. '_used'] or 0
        book(from, quantity, 'lent', -math.max(found[quantity], taken_of(found, quantity)))
        book(from, quantity, 'used', used)
      end
    end
    redis.call('DEL', key.account .. name)
    redis.call('SREM', key.accounts, name)
    redis.call('ZREM', key.accounts_due, name)
    name = string.sub(found.above, 1, 1) == 'i' and found.above or ''
    if name ~= '' then redis.call('HINCRBY', key.account .. name, 'subs', -1) end
  end
end

local function budget_leave(id)
  local known = redis.call('HGET', key.account_of, id)
  if not known then return end
  redis.call('HDEL', key.account_of, id)
  local chain = accounts_from(string.match(known, '\n(.*)$'))
  for _, found in ipairs(chain) do redis.call('SREM', key.account_live .. found.name, id) end
  if not chain[1] then return end
  if chain[1].owner == id then redis.call('HSET', key.account .. chain[1].name, 'gone', 1) end
  close_accounts(chain[1].name)
end

local function budget_unspawn(id)
  local known = redis.call('HGET', key.account_of, id)
  if known then book(string.match(known, '^(.-)\n'), 'spawns', 'used', -1) end
end
