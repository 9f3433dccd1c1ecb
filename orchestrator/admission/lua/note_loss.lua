-- note_loss: Redis was emptied while there was work, so what was used just before is not known.
-- Buckets begin empty, breakers let few through at first, and limits on calls under way wait
-- for those who are to say so.
--
-- KEYS    gate
-- ARGV    token
-- REPLY   noted
-- USES    now
if redis.call('GET', key.rebuilding) ~= token then return 0 end
redis.call('HSET', key.config, 'lost_at', now)
return 1
