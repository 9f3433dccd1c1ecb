-- USES limits room breaker
-- line_of: the line that an instance waits in: one of its pool for all that nothing but the limits
-- of tenants, sessions and the pool can hold up; one for each set of resources that kinds of
-- agents declare; one for each kind of agent that has a limit of its own.
-- resources_of: the names of the resources that all of a line need, one after the other.
-- line_wait: milliseconds for which an open breaker holds a line up; nil where none does.
-- is_open: whether anything of a line may run now. What holds a line up holds up all of it, so
-- that nobody ever looks through those who wait in it.
local function line_of(entry)
  if limit_of('agent', entry.agent) then return entry.pool .. ' @' .. entry.agent end
  local resources = override('resources:' .. entry.agent) or ''
  return entry.pool .. ' ' .. string.gsub(resources, ' ', ',')
end

local function resources_of(line)
  local agent = string.match(line, ' @(.*)$')
  local names = agent and (override('resources:' .. agent) or '') or string.match(line, ' (.*)$')
  return string.gmatch(names, '[^ ,]+')
end

local function line_wait(line)
  local longest
  for resource in resources_of(line) do
    local allowed, again_at = breaker_allows(resource)
    if not allowed then longest = math.max(longest or 0, again_at - now) end
  end
  return longest
end

local function is_open(line)
  local agent = string.match(line, ' @(.*)$')
  return (not agent or agent_room(agent)) and not line_wait(line)
end
