-- sweep: end what has run out, hand out what is due, and claim expired places for judgement.
--
-- Guarantee  a claimed place is shown to nobody else for `hold_ms`; one that is not judged by
--            then is shown again.
-- KEYS    gate
-- ARGV    budget hold_ms
-- REPLY   more (id attempt why)...
-- USES    freely now ready entry expire promote ends pump
budget = tonumber(budget)
expire(budget)
local later = math.max(promote(budget), wake_ended(budget))
local more = math.max(later, pump(budget))
local ids = redis.call('ZRANGEBYSCORE', key.expired, '-inf', now, 'LIMIT', 0, budget)
if #ids == budget then more = 1 end
local reply = {more}
for _, id in ipairs(ids) do
  redis.call('ZADD', key.expired, now + tonumber(hold_ms), id)
  reply[#reply + 1] = id
  local entry = load(id)
  reply[#reply + 1] = entry.attempt
  -- It has waited too long for its first hand-out.
  local late = entry.attempt == 0 and entry.expires and entry.expires <= now
  reply[#reply + 1] = late and 'QUEUE_TIMEOUT' or ''
end
return reply
