-- USES nodes
-- find_cycle: the chain of waits that `id` would close by waiting for `needs` of the targets,
-- from `id` along what each waits for, until one waits for `id`. nil when it would close none;
-- nil and true when there are more than `budget` nodes to look at. Who is in `freed` counts as
-- not waiting.
--
-- A node is stuck when fewer of its targets can end than it needs (the general resource graph of
-- Holt, 1972). First a search backward from `id`, through those that wait for it: mostly they
-- are few, and if no target is among them, the wait closes nothing, whatever is needed. If one is
-- and everybody on the chain needs all that it waits for, that is a deadlock. Else all that `id` waits
-- for, near and far, is reduced: whoever can end is taken away, until only the stuck are left.
local function wants_of(node, freed)
  if is_lock(node) then
    local holder = redis.call('HGET', key.holder .. node, 'holder')
    return holder and 1, {holder}
  end
  local needs = not freed[node] and redis.call('HGET', key.wait .. node, 'needs')
  if not needs then return nil end
  return tonumber(needs), redis.call('SMEMBERS', key.targets .. node)
end

local function waiters_of(node, most)
  local found = redis.call('ZRANGE', key.waiters .. node, 0, most)
  if not is_lock(node) then
    for _, lock in ipairs(redis.call('SMEMBERS', key.locks .. node)) do
      found[#found + 1] = lock
    end
  end
  return found
end

-- The chain from `node` on, by what each leads to.
local function chain_of(node, leads_to, last)
  local chain = {}
  while node ~= last do
    chain[#chain + 1] = node
    node = leads_to[node]
  end
  return chain
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

-- Take away `node`, which can end, and whoever can end then; those whose `needs` stay above 0 never
-- will.
local function let_end(node, all)
  local free, at = {node}, 1
  while free[at] do
    all.ended[free[at]] = true
    for _, waiter in ipairs(all.waiters[free[at]] or {}) do
      all.needs[waiter] = all.needs[waiter] - 1
      if all.needs[waiter] == 0 then free[#free + 1] = waiter end
    end
    at = at + 1
  end
end

-- What `id` waits for, near and far: what each node still needs and waits for, without those that
-- can end. It goes deep first and ends as soon as `id` itself can end: where one of many is enough,
-- the way to the first that waits for nothing is all there is to see. nil if there are too many.
local function reduced_closure_of(id, needs, targets, budget, freed)
  local all = {needs = {[id] = needs}, targets = {[id] = targets}, waiters = {}, ended = {}}
  local open = {id}
  while #open > 0 do
    local node = table.remove(open)
    for _, target in ipairs(all.ended[node] and {} or all.targets[node]) do
      if not all.waiters[target] then
        all.waiters[target] = {}
        if target ~= id then
          local wants, list = wants_of(target, freed)
          all.needs[target], all.targets[target] = wants, list
          if wants then open[#open + 1] = target else all.ended[target] = true end
        end
        budget = budget - 1
        if budget < 0 then return nil end
      end
      if all.ended[target] then
        all.needs[node] = all.needs[node] - 1
        if all.needs[node] == 0 then let_end(node, all) end
        if all.needs[id] <= 0 then return all end
      else
        table.insert(all.waiters[target], node)
      end
    end
  end
  return all
end

-- The shortest chain of stuck nodes from `id` to `id`; nil when `id` only waits for others'.
local function stuck_chain(id, all)
  local came_from, found, at = {}, {id}, 1
  while found[at] do
    for _, target in ipairs(all.targets[found[at]]) do
      if target == id then
        local chain = chain_of(found[at], came_from, id)
        local path = {id}
        for i = #chain, 1, -1 do path[#path + 1] = chain[i] end
        return path
      end
      if (all.needs[target] or 0) > 0 and not came_from[target] then
        came_from[target] = found[at]
        found[#found + 1] = target
      end
    end
    at = at + 1
  end
  return nil
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
