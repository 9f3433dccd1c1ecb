-- USES limits room
-- line_of: the line that an instance waits in: one of its pool for all that nothing but the limits
-- of tenants, sessions and the pool can hold up; one for each set of resources that kinds of
-- agents declare; one for each kind of agent that has a limit of its own.
-- is_open: whether anything of a line may run now. What holds a line up holds up all of it, so
-- that nobody ever looks through those who wait in it.
local function line_of(entry)
  if limit_of('agent', entry.agent) then return entry.pool .. ' @' .. entry.agent end
  local resources = override('resources:' .. entry.agent) or ''
  return entry.pool .. ' ' .. string.gsub(resources, ' ', ',')
end

local function is_open(line)
  local agent = string.match(line, ' @(.*)$')
  return not agent or agent_room(agent)
end
