-- Corrects what a call took of its rates by what it used, and notes what the provider said of them.
--
-- ARGV[1] is JSON: {window, rate, tick, less: [3 numbers], learned: [3], remaining: [3 numbers, -1 = not told],
-- blocked_seconds}.
local told = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local key = told.rate
for d = 1, 3 do
    local amounts = key .. ':' .. d .. ':amounts'
    -- Where it has left the window already, there is nothing to correct.
    if told.less[d] ~= 0 and redis.call('HEXISTS', amounts, told.tick) == 1 then
        redis.call('HINCRBY', amounts, told.tick, -told.less[d])
        redis.call('HINCRBY', amounts, 'total', -told.less[d])
    end
    if told.learned[d] > 0 then
        redis.call('HSET', key .. ':known', d, told.learned[d])
        local total = tonumber(redis.call('HGET', amounts, 'total') or '0')
        local unknown = told.learned[d] - total - told.remaining[d]
        -- Somebody else uses the same account: what is missing counts as taken just now.
        if told.remaining[d] >= 0 and unknown > 0 and told.tick > 0 then
            local tick = math.floor(now * 10)
            if redis.call('HINCRBY', amounts, tick, unknown) == unknown then
                redis.call('RPUSH', key .. ':' .. d .. ':ticks', tick)
            end
            redis.call('HINCRBY', amounts, 'total', unknown)
            redis.call('EXPIRE', amounts, told.window * 2)
            redis.call('EXPIRE', key .. ':' .. d .. ':ticks', told.window * 2)
        end
    end
end
if told.blocked_seconds > 0 then
    local known = tonumber(redis.call('HGET', key .. ':known', 'blocked_until') or '0')
    redis.call('HSET', key .. ':known', 'blocked_until', math.max(known, now + told.blocked_seconds))
end
redis.call('EXPIRE', key .. ':known', 600)
return 1
