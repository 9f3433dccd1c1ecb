-- glance: where an instance is, for a waiting thread and for the curious.
--
-- KEYS    gate
-- ARGV    id
-- REPLY   place attempt stop
-- USES    ready entry
local entry = load(id)
if not entry then return {'', '0', ''} end
return {entry.place, tostring(entry.attempt), entry.stop}
