-- Gives a lease back without an answer, or leaves word in its place, if it is still held by who gives it up.
-- KEYS: the lease. ARGV: who gives it up, what is left in its place ('' for nothing), for how long (ms).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
