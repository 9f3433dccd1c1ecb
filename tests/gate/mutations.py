"""The seeded mistakes: below the file they are made in, what is there => what it becomes."""

MUTATIONS = r"""
# adopt
known.attempt > tonumber(attempt) then => known.attempt > tonumber(attempt) + 1 then
known.place == places[state] then => false then
if set ~= 'queued' then => if false then
if stop ~= '' then => if false then
if known then drop(id, known) end => if known then redis.call('DEL', key.instance .. id) end
take_slot(id, entry, config.lease_ms) => redis.call('ZADD', key.leases, now, id)
park(id, entry, entry.attempt > 0) => park(id, entry, true)

# cancel
if entry.place == 'dispatched' or entry.thread ~= '' then => if entry.thread ~= '' then
or entry.thread ~= '' then => then
redis.call('PUBLISH', key.stop, id) =>
if entry.place == 'queued' then => if false then
redis.call('PUBLISH', key.done .. id, '') =>
return pump(16) => return 0

# check_in
if held and held.place == 'admitted' then => if false then
if held then return => if false then return
if expire(4) > 0 then pump(4) end =>
if expire(4) > 0 then pump(4) end => if expire(4) > 0 then end
if tonumber(depth) > config.max_depth then => if tonumber(depth) >= config.max_depth then
known.attempt ~= tonumber(parent_attempt) => false
known.stop ~= '' => false
redis.call('HINCRBY', key.refusals, code, 1) =>
create(id, entry)\n  take_slot => take_slot
if queued >= config.global_queue then => if queued > config.global_queue then
if queued >= config.tenant_queue then => if queued > config.tenant_queue then
redis.call('ZADD', key.reserved, now + config.lease_ms, id) =>
count_in_backlog(id, entry) =>

# follow
and entry.attempt == tonumber(attempt) => and true
or entry.place == 'reserved' => or false
if entry then drop(id, entry) end => if entry then redis.call('DEL', key.instance .. id) end
more = pump(4) =>

# forget
and entry.attempt == tonumber(attempt) => and true
entry.place == 'expired' => true

# heartbeat
redis.call('ZADD', key.workers, now + config.lease_ms, worker) =>
or entry.stop ~= '' => or false
not entry or entry.attempt ~= attempt => not entry
if entry and entry.attempt == attempt then => if entry then
or set == 'suspended' => or false
elseif set == 'expired' then => elseif false then
expire(8) =>
promote(8) =>
local more = pump(16) => local more = 0

# leave
remove_worker(worker) =>

# pump_now
return pump(tonumber(budget)) => return 0

# refresh_flows
refresh(pool, string.sub(labels, 1, length), string.sub(labels, length + 1)) =>

# release
local holds = entry and entry.attempt == tonumber(attempt) => local holds = entry
if holds then drop(id, entry) end => if entry and entry.attempt == tonumber(attempt) then drop(id, entry) end
(entry.place == 'queued' and entry.thread ~= '') => false
redis.call('PUBLISH', key.done .. id, '') =>
expire(4) =>
return pump(4) => return 0

# requeue
known.attempt > tonumber(attempt) => known.attempt >= tonumber(attempt)
known.attempt > tonumber(attempt) => false
or known.stop ~= '' => or false
if known then drop(id, known) end => if known then redis.call('DEL', key.instance .. id) end
park(id, entry, true) => park(id, entry, entry.attempt > 0)
return pump(4) => return 0

# resume
redis.call('ZREM', key.suspended, id) =>
and entry.attempt == tonumber(attempt) => and true
and entry.stop == '' then => then
park(id, entry, true) => park(id, entry, false)
more = pump(4) =>

# suspend
entry.attempt ~= tonumber(attempt) => false
free_slot(id, entry) =>
'thread', worker => 'thread', ''
return {1, pump(4)} => return {1, 0}

# sweep
expire(budget) =>
promote(budget) =>
redis.call('ZADD', key.expired, now + tonumber(hold_ms), id) =>
'LIMIT', 0, budget) => 'LIMIT', 0, budget + 1)

# unknown
== 0 then missing => == 1 then missing

# withdraw
entry.place == 'admitted' or => false or
or entry.place == 'reserved' => or false
or entry.place == 'reserved' => or entry.place == 'queued'

# lib/drop
if place == 'admitted' or place == 'dispatched' then => if place == 'dispatched' then
redis.call('DEL', key.instance .. id) =>

# lib/entry
return #tenant .. ' ' .. tenant .. session => return tenant .. session
redis.call('HSET', key.instance .. id, 'place', place) =>

# lib/expire
leave(id, entry) =>
redis.call('ZADD', key.expired, now, id) =>
for _, worker in ipairs(gone) do remove_worker(worker) end =>

# lib/hand_out
entry.attempt = entry.attempt + 1 =>
redis.call('HSET', key.instance .. id, 'attempt', entry.attempt) =>
take_slot(id, entry, config.dispatch_ms) => take_slot(id, entry, config.lease_ms)
take_slot(id, entry, config.dispatch_ms) =>
level(entry, again) => level(entry, true)
if entry.thread ~= '' then => if false then
elseif urgency == 0 then => elseif urgency <= 1 then

# lib/park
return entry.priority * 2 + (again and 0 or 1) => return again and 0 or 1
return entry.priority * 2 + (again and 0 or 1) => return entry.priority * 2
+ redis.call('INCR', key.sequence) =>
redis.call('SADD', key.flows, flow_of(entry)) =>
redis.call('SADD', key.pools, entry.pool) =>
redis.call('ZREM', key.backlog, id) =>
redis.call('ZREM', key.backlog_tenant .. entry.tenant, id) =>
'NX', now, id)\n  redis => now, id)\n  redis
now + delay_ms => now

# lib/promote
redis.call('ZREM', key.delayed, id) =>
park(id, load(id), true) => park(id, load(id), false)

# lib/pump
rank < best_rank => rank > best_rank
if pool_room(pool) and worker_room(pool) then => if pool_room(pool) then
if pool_room(pool) and worker_room(pool) then => if worker_room(pool) then
or not tenant_room(tenant) then => then
or not session_room(tenant, session) then => then
if not global_room() then return 0 end =>
unpark(id, entry)\n  hand_out => hand_out

# lib/refresh
if not first[1] then redis.call('SREM', key.flows, flow) end =>
redis.call('ZADD', sessions, first[2], session) => redis.call('ZADD', sessions, 'NX', first[2], session)
redis.call('ZREM', sessions, session) =>
redis.call('ZADD', key.tenants .. pool, leader[2], tenant) => redis.call('ZADD', key.tenants .. pool, first[2] or 0, tenant)

# lib/room
used < config.global => used <= config.global
used < config.pool => used <= config.pool
used < offered => used <= offered
used < config.tenant => used <= config.tenant
used < config.session => used <= config.session

# lib/slots
redis.call('ZADD', key.leases, now + lease_ms, id) => redis.call('ZADD', key.leases, 'NX', now + lease_ms, id)
redis.call('SADD', key.slots_tenant .. entry.tenant, id) =>
redis.call('ZREM', key.leases, id) =>
redis.call('SREM', key.slots_session .. tree_of(entry.tenant, entry.session), id) =>
redis.call('SREM', key.slots_tenant .. entry.tenant, id) =>
redis.call('SREM', key.slots_pool .. entry.pool, id) =>
refresh(pool, entry.tenant, entry.session) =>

# lib/workers
capacity - tonumber(before)) => capacity)
offer(worker, pool, 0) =>
redis.call('DEL', key.worker .. worker) =>
"""
