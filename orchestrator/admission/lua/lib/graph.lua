-- USES nodes stuck
-- find_cycle: the chain of waits that `id` would close by waiting for `needs` of the targets,
-- from `id` along what each waits for, until one waits for `id`. nil when it would close none;
-- nil and true when there are more than `budget` nodes to look at. Who is in `freed` counts as
-- not waiting.
--
-- A node is stuck when fewer of its targets can end than it needs (the general resource graph of
-- Holt, 1972). First a search backward from `id`, through those that wait for it: mostly they
-- are few, and if no target is among them, the wait closes nothing, whatever is needed. If one is
-- and everybody on the chain needs all that it waits for, that is a deadlock. Else all that `id` waits
-- for, near and far, is looked at, and whoever can end is taken away, until `id` itself can end or
-- only the stuck are left (`stuck.lua`).
local function waiters_of(node, most)
  local found = redis.call('ZRANGE', key.waiters .. node, 0, most)
  if not is_lock(node) then
    for _, lock in ipairs(redis.call('SMEMBERS', key.locks .. node)) do
      found[#found + 1] = lock
    end
  end
  return found
end

-- Breadth first from `id` through those that wait, until a target is among them: the chain from
-- the target back to `id`. nil if none is; nil and true if there are too many.
local function search_backward(id, is_target, budget, freed)
  local leads_to, found, at = {[id] = id}, {id}, 1
  if is_target[id] then return {} end
  while found[at] do
    for _, waiter in ipairs(waiters_of(found[at], budget - #found)) do
      if not leads_to[waiter] and not freed[waiter] then
        leads_to[waiter] = found[at]
        found[#found + 1] = waiter
        if is_target[waiter] then return chain_of(waiter, leads_to, id) end
        if #found > budget then return nil, true end
      end
    end
    at = at + 1
  end
  return nil
end

local function needs_all(node)
  if is_lock(node) then return true end
  local needs = tonumber(redis.call('HGET', key.wait .. node, 'needs'))
  return needs == redis.call('SCARD', key.targets .. node)
end

-- Whether enough of few targets wait for nothing, as children do that have just been spawned. This
-- spares the search through those who wait for `id`, who may be many.
local function are_idle(id, needs, targets, freed)
  if #targets > 10 then return false end
  for _, target in ipairs(targets) do
    if target ~= id and not wants_of(target, freed) then needs = needs - 1 end
  end
  return needs <= 0
end

local function find_cycle(id, needs, targets, budget, freed)
  if are_idle(id, needs, targets, freed) then return nil end
  local is_target, is_certain = {}, needs == #targets
  for _, target in ipairs(targets) do is_target[target] = true end
  local chain, too_many = search_backward(id, is_target, budget, freed)
  if not chain and not too_many then return nil end
  for _, node in ipairs(chain or {}) do is_certain = is_certain and needs_all(node) end
  if chain and is_certain then
    table.insert(chain, 1, id)
    return chain
  end
  local all = reduced_closure_of(id, needs, targets, budget, freed)
  if not all then return nil, true end
  if all.needs[id] <= 0 then return nil end
  return stuck_chain(id, all)
end
