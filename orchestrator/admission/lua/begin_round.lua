-- begin_round: claim one round of a housekeeping job, so that several beats do the work once.
--
-- KEYS    gate
-- ARGV    job period_ms
-- REPLY   claimed
-- USES    freely now
local round = math.floor(now / tonumber(period_ms))
local claimed = redis.call('SET', key.rounds .. job .. ':' .. round, '1', 'NX', 'PX',
                           tonumber(period_ms) * 2)
return claimed and 1 or 0
