-- now: milliseconds of the gate's clock, read once a script. The only clock of the gate.
--
-- It is the server's, but for jumps of that. While anybody lives, scripts run more often than twice a
-- lease; so when more than that, or less than nothing, has passed since the last one, the server's
-- clock was set, or nobody was there to keep a lease: the gate's clock goes on from where it was.
-- What of it was time after all, `keep_time` adds. Once that script has run, `time` holds what the
-- server's clock said last, and how far it is ahead.
local now
do
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  local seen, ahead = string.match(redis.call('GET', key.time) or '', '^(%d+) (-?%d+)$')
  if seen then
    local passed = now - seen
    if passed > 1000 or passed < 0 then
      local longest = math.max(5000, (redis.call('HGET', key.config, 'lease_ms') or 0) / 2)
      if passed > longest or passed < -1000 then ahead = ahead + passed end
      -- A full server takes no news; then the next script sees the same.
      redis.pcall('SET', key.time, string.format('%.0f %.0f', now, ahead))
    end
    now = now - ahead
  end
end
