-- USES nodes
-- wants_of: how many of which targets a node needs to go on; nil when it waits for nothing. Who is in
-- `freed` counts as not waiting.
-- chain_of: the chain from `node` on, by what each leads to.
-- reduced_closure_of: what `id` waits for, near and far: what each node still needs and waits for,
-- without those that can end. It goes deep first and ends as soon as `id` itself can end: where one
-- of many is enough, the way to the first that waits for nothing is all there is to see. nil if
-- there are too many.
-- stuck_chain: the shortest chain of stuck nodes from `id` to `id`; nil when `id` only waits for
-- others'.
local function wants_of(node, freed)
  if is_lock(node) then
    local holder = redis.call('HGET', key.holder .. node, 'holder')
    return holder and 1, {holder}
  end
  local needs = not freed[node] and redis.call('HGET', key.wait .. node, 'needs')
  if not needs then return nil end
  return tonumber(needs), redis.call('SMEMBERS', key.targets .. node)
end

local function chain_of(node, leads_to, last)
  local chain = {}
  while node ~= last do
    chain[#chain + 1] = node
    node = leads_to[node]
  end
  return chain
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
