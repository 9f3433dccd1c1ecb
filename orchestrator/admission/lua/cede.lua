-- cede: give up to `amount` of a limit away, as far as nobody uses it.
--
-- Guarantee  what is in use stays within what is left: both are looked at in one step.
-- KEYS    gate
-- ARGV    version field set suffix amount
-- REPLY   given
-- USES    freely ready
if tonumber(redis.call('HGET', key.credits, '') or '0') > tonumber(version) then return 0 end
local used = set == 'leases' and redis.call('ZCARD', key.leases)
    or redis.call('SCARD', key[set] .. suffix)
local limit = tonumber(redis.call('HGET', key.config, field) or '0')
local given = math.min(tonumber(amount), limit - used)
if given <= 0 then return 0 end
redis.call('HINCRBY', key.config, field, -given)
redis.call('HINCRBY', key.credits, field, -given)
redis.call('HSET', key.credits, '', version)
return given
