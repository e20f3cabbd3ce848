-- Renews leases that are still held. KEYS: the leases. ARGV: for how long (ms), then who holds each.
local renewed = 0
for place, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[place + 1] then
        redis.call('PEXPIRE', key, ARGV[1])
        renewed = renewed + 1
    end
end
return renewed
