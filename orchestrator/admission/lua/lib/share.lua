-- share: who is next among those who want the same: start-time fair queueing (Goyal, Vin, Cheng
-- 1996). A set of shares has, for each class of urgency, a tag for each member and the virtual
-- time, which is the tag at which somebody was served last; `period` is the arrival that began it.
-- lift: the tag of a member that comes to wait: no credit for the time it was away. Newcomers
-- stand behind each other: each moves the virtual time by one.
-- charge: a member is served; its tag grows by what that costs it. Further scores are set too.
-- correct: what it cost has become known; a charge of an earlier period counts no more.
-- in_class: a class and a tag as one score.
local CLASS = 2 ^ 46

local function in_class(class, tag)
  return class * CLASS + tag
end

local function lift(set, class, name, is_new)
  local found = redis.call('ZMSCORE', set, class .. name, class)
  local tag, virtual = tonumber(found[1]), tonumber(found[2]) or 0
  if tag and tag > virtual then return tag end
  redis.call('ZADD', set, virtual, class .. name, is_new and virtual + 1 or virtual, class)
  return virtual
end

local function charge(set, class, name, amount, ...)
  local found = redis.call('ZMSCORE', set, class .. name, class)
  local virtual = tonumber(found[2]) or 0
  local start = tonumber(found[1]) or virtual
  redis.call('ZADD', set, start + amount, class .. name, math.max(virtual, start), class, ...)
end

local function correct(set, class, name, amount, sequence)
  local found = redis.call('ZMSCORE', set, class .. name, 'period')
  local tag, period = tonumber(found[1]), tonumber(found[2])
  if not tag or not period or period > sequence then return false end
  redis.call('ZADD', set, math.max(0, tag + amount), class .. name)
  return true
end
