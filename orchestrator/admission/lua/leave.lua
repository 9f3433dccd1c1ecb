-- leave: a worker process takes no more work; what it offered is no longer counted.
--
-- KEYS    gate
-- ARGV    worker
-- REPLY   nothing
-- USES    freely ready workers
remove_worker(worker)
return ''
