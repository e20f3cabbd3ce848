-- Keeps an answer, and gives the lease back if it is still held by who brings it.
-- KEYS: the answer, the lease. ARGV: the answer, for how long it is kept (ms), who brings it.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local holder = redis.call('GET', KEYS[2])
if holder == ARGV[3] or (holder and string.sub(holder, 1, 6) == 'batch:') then
    redis.call('DEL', KEYS[2])
end
return 1
