-- with_credit: a limit of this shard with what it has borrowed of others, or without what it has
-- lent them.
local function with_credit(field, value)
  local credit = tonumber(redis.call('HGET', key.credits, field))
  return credit and string.format('%.17g', math.max(0, value + credit)) or value
end
