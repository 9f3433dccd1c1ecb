-- USES entry
-- lock_node: a lock as a node of the wait graph. All other nodes are instances, by their ids.
-- is_lock: whether a node is a lock.
-- deadlock: the answer to a wait that would never end: kind, name and agent of each node.
local function lock_node(tenant, name)
  return 'lock:' .. tree_of(tenant, name)
end

local function is_lock(node)
  return string.sub(node, 1, 5) == 'lock:'
end

local function deadlock(path)
  local words = {'deadlock'}
  for _, node in ipairs(path) do
    local length, labels = string.match(node, '^lock:(%d+) (.*)$')
    local kind = length and 'lock' or 'instance'
    words[#words + 1] = kind
    words[#words + 1] = length and string.sub(labels, tonumber(length) + 1) or node
    words[#words + 1] = not length and redis.call('HGET', key.instance .. node, 'agent') or ''
  end
  return words
end
