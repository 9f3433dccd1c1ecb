-- USES waits graph
-- close_cycle: make sure that a wait may begin. Answers the reply `deadlock` when it is this wait
-- that has to fail; nil when it may begin, others having failed by the policy where need be.
-- The second answer is true when there was too much to look at.
local MOST_VICTIMS = 16

-- Which instance of a cycle gives way: the one who closes it, the youngest (ids grow with time),
-- or the least urgent, of several the youngest. One that has not started yet cannot give way.
local function victim_of(cycle)
  local policy = redis.call('HGET', key.config, 'victim')
  if policy ~= 'youngest' and policy ~= 'lowest_priority' then return cycle[1] end
  local victim, least
  for _, node in ipairs(cycle) do
    if not is_lock(node) and redis.call('HGET', key.wait .. node, 'kind') ~= 'after' then
      local class = policy == 'youngest' and 0
          or tonumber(redis.call('HGET', key.instance .. node, 'priority') or '0')
      if not victim or class > least or (class == least and node > victim) then
        victim, least = node, class
      end
    end
  end
  return victim
end

local function close_cycle(id, needs, targets, budget)
  local freed, cycles, count = {}, {}, 0
  while true do
    local cycle, too_many = find_cycle(id, needs, targets, budget, freed)
    if not cycle then
      for victim, reply in pairs(cycles) do fail_waiting(victim, reply) end
      return nil, too_many
    end
    local victim = count < MOST_VICTIMS and victim_of(cycle) or id
    if victim == id then return deadlock(cycle) end
    freed[victim], cycles[victim], count = true, deadlock(cycle), count + 1
  end
end
