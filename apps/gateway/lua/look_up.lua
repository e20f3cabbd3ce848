-- The answer under a key; or the lease on buying it, to who asks first. One round trip.
-- KEYS: the answer, the lease. ARGV: who asks, how long the lease holds (ms).
local answer = redis.call('GET', KEYS[1])
if answer then
    return {'answer', answer}
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return {'ours'}
end
return {'leased', redis.call('GET', KEYS[2]) or ''}
