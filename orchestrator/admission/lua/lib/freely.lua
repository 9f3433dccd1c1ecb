-- freely: this script also works on a server that has reached its `maxmemory`, as it gives room back or
-- keeps alive what will. There a script is refused at its first write if that may take memory, and
-- no more once it has written anything (Redis, `scriptVerifyOOM`); to delete nothing is a write.
redis.call('DEL', key.nothing)
