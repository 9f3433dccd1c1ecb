-- breakers: what there is to know of some of the scopes that have been called.
--
-- KEYS    gate
-- ARGV    cursor most
-- REPLY   cursor rows...
-- USES    now ready config resource bucket breaker
local scan = redis.call('SSCAN', key.scopes, cursor, 'COUNT', most)
local reply = {scan[1]}
for _, scope in ipairs(scan[2]) do
  local resource, tenant = string.match(scope, '^(%S+) ?(.*)$')
  local policy = policy_of(resource)
  local breaker = breaker_of(scope, resource, policy)
  local levels = levels_of(scope, policy)
  local wait_ms = breaker_wait(breaker, scope, policy)
  local row = {resource, tenant, breaker.state, breaker.forced, tostring(breaker.failures),
               tostring(breaker.trips), wait_ms and string.format('%.0f', wait_ms) or '',
               redis.call('ZCARD', key.calls .. scope), redis.call('ZCARD', key.tickets .. scope)}
  for _, name in ipairs(DIMENSIONS) do
    row[#row + 1] = levels[name] and string.format('%.17g', levels[name]) or ''
  end
  reply[#reply + 1] = row
  -- One that nobody has called for long is as good as new.
  local kept = redis.call('EXISTS', key.bucket .. scope, key.breaker .. scope, key.calls .. scope,
                          key.tickets .. scope)
  if kept == 0 then redis.call('SREM', key.scopes, scope) end
end
return reply
