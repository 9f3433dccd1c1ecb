-- read_budgets: the account of an instance, or of a session, and all above it, nearest first.
--
-- KEYS    gate
-- ARGV    id tenant session
-- REPLY   (live fields)...
-- USES    now ready account
local known = id ~= '' and redis.call('HGET', key.account_of, id)
local name = known and string.match(known, '\n(.*)$') or session_account(tenant, session)
local reply = {}
for _, found in ipairs(accounts_from(name)) do
  reply[#reply + 1] = {redis.call('SCARD', key.account_live .. found.name),
                       redis.call('HGETALL', key.account .. found.name)}
end
return reply
