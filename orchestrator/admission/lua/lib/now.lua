-- now: milliseconds of the server's clock, read once a script. The only clock of the gate.
local now
do
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
