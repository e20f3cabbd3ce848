-- Finds the first target that may be called now, and takes its share of the rates; before that, corrects what earlier
-- calls took by what they used: in one round trip, for all processes alike.
--
-- ARGV[1] is JSON: {window, corrections, tenant, token, costs: [requests, input, output], prefix,
-- targets: [{circuit, rate, limits: [3 numbers, 0 = none], probes}]}. Answers {passed, target, tick, seconds since the
-- prefix was seen} or {half_open, target} or {refused, code, seconds}. Targets count from 1.
--
-- A correction is {rate, tick, sent: tenths between entering and sending, used: [3 numbers], less: [3 numbers], learned: [3 numbers, 0 = not told], remaining: [3 numbers,
-- -1 = not told], blocked_seconds}.
--
-- A rate is a log of the last `window` seconds in tenths: a queue of the tenths, and how much was taken in each, so
-- that what was taken can be corrected where it stands. No more than the limit is taken in any `window`.
local told = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local tick = math.floor(now * 10)
local window = told.window * 10
local SCALE = 1000000

local function used(key)
    local total = tonumber(redis.call('HGET', key .. ':amounts', 'total') or '0')
    local before = total
    while true do
        local first = redis.call('LINDEX', key .. ':ticks', 0)
        if not first or tonumber(first) > tick - window then break end
        redis.call('LPOP', key .. ':ticks')
        total = total - tonumber(redis.call('HGET', key .. ':amounts', first) or '0')
        redis.call('HDEL', key .. ':amounts', first)
    end
    if total ~= before then redis.call('HSET', key .. ':amounts', 'total', total) end
    return total
end

local function take(key, amount, at)
    if redis.call('HINCRBY', key .. ':amounts', at, amount) == amount then
        redis.call('RPUSH', key .. ':ticks', at)
    end
    redis.call('HINCRBY', key .. ':amounts', 'total', amount)
    redis.call('EXPIRE', key .. ':amounts', told.window * 2)
    redis.call('EXPIRE', key .. ':ticks', told.window * 2)
end

local function correct(one)
    for d = 1, 3 do
        local key = one.rate .. ':' .. d
        -- Where it has left the window already, there is nothing to correct.
        if one.tick > 0 and redis.call('HEXISTS', key .. ':amounts', one.tick) == 1 then
            -- One that was sent late counts from then.
            local late = one.sent > 0 and one.used[d] or 0
            redis.call('HINCRBY', key .. ':amounts', one.tick, -one.less[d] - late)
            redis.call('HINCRBY', key .. ':amounts', 'total', -one.less[d] - late)
            if late > 0 then take(key, late, math.min(tick, one.tick + one.sent)) end
        end
        if one.learned[d] > 0 then
            redis.call('HSET', one.rate .. ':known', d, one.learned[d])
            local unknown = one.learned[d] - used(key) - one.remaining[d]
            -- Somebody else uses the same account: what is missing counts as taken just now.
            if one.remaining[d] >= 0 and unknown > 0 and one.tick > 0 then take(key, unknown, tick) end
        end
    end
    if one.blocked_seconds > 0 then
        local known = tonumber(redis.call('HGET', one.rate .. ':known', 'blocked_until') or '0')
        redis.call('HSET', one.rate .. ':known', 'blocked_until', math.max(known, now + one.blocked_seconds))
    end
    redis.call('EXPIRE', one.rate .. ':known', 600)
end

-- Seconds until `amount` of what was taken is no longer in the window.
local function wait_for(key, amount)
    local freed = 0
    local last = tick
    for _, at in ipairs(redis.call('LRANGE', key .. ':ticks', 0, -1)) do
        freed = freed + tonumber(redis.call('HGET', key .. ':amounts', at) or '0')
        last = tonumber(at)
        if freed >= amount then break end
    end
    return math.max(0.05, (last + window + 1) / 10 - now)
end

-- How much of the rates each tenant has used in the window, in millionths of the limit that binds it most
-- (dominant resource fairness: A. Ghodsi et al., NSDI 2011). Entries are "second|tenant".
local function tenants(key)
    while true do
        local first = redis.call('LINDEX', key .. ':shares', 0)
        if not first then break end
        local at, tenant = first:match('^(%d+)|(.*)$')
        if tonumber(at) * 10 > tick - window then break end
        redis.call('LPOP', key .. ':shares')
        local amount = tonumber(redis.call('HGET', key .. ':parts', first) or '0')
        redis.call('HDEL', key .. ':parts', first)
        if redis.call('HINCRBY', key .. ':tenants', tenant, -amount) <= 0 then
            redis.call('HDEL', key .. ':tenants', tenant)
        end
    end
    local own = tonumber(redis.call('HGET', key .. ':tenants', told.tenant) or '0')
    redis.call('ZREMRANGEBYSCORE', key .. ':waiting', '-inf', now)
    redis.call('ZREM', key .. ':waiting', told.tenant)
    local active = redis.call('HLEN', key .. ':tenants')
    if own == 0 then active = active + 1 end
    local others = redis.call('ZRANGE', key .. ':waiting', 0, 99)
    for _, tenant in ipairs(others) do
        if redis.call('HEXISTS', key .. ':tenants', tenant) == 0 then active = active + 1 end
    end
    return own, active, #others
end

local function note_tenant(key, part)
    local entry = math.floor(now) .. '|' .. told.tenant
    if redis.call('HINCRBY', key .. ':parts', entry, part) == part then
        redis.call('RPUSH', key .. ':shares', entry)
    end
    redis.call('HINCRBY', key .. ':tenants', told.tenant, part)
    for _, name in ipairs({':parts', ':shares', ':tenants'}) do
        redis.call('EXPIRE', key .. name, told.window * 2)
    end
end

-- Nil when there is room, and then it is taken; else for how long to wait. `limits` may be empty.
local function rates(target)
    local key = target.rate
    local known = redis.call('HMGET', key .. ':known', 'blocked_until', '1', '2', '3')
    if known[1] and tonumber(known[1]) > now then return tonumber(known[1]) - now end
    local limits, costs, part, bound = {}, {}, 0, false
    for d = 1, 3 do
        local limit = target.limits[d]
        local learned = tonumber(known[d + 1] or '0')
        if learned > 0 and (limit == 0 or learned < limit) then limit = learned end
        limits[d] = limit
        if limit > 0 then
            bound = true
            costs[d] = math.min(told.costs[d], limit)
            part = math.max(part, math.ceil(costs[d] / limit * SCALE))
        end
    end
    if not bound then return nil, 0 end
    redis.call('ZREMRANGEBYSCORE', key .. ':queue', '-inf', now)
    redis.call('ZREM', key .. ':queue', told.token)
    local own, active, others = tenants(key)
    local wait = nil
    if others > 0 and own > 0 and own + part > SCALE / active then wait = 1.0 end
    for d = 1, 3 do
        if limits[d] > 0 and costs[d] > 0 then
            local over = used(key .. ':' .. d) + costs[d] - limits[d]
            if over > 0 then
                local ahead = redis.call('ZCARD', key .. ':queue') * costs[d]
                wait = math.max(wait or 0, wait_for(key .. ':' .. d, over + ahead))
            end
        end
    end
    if wait then
        redis.call('ZADD', key .. ':queue', now + wait + 1, told.token)
        redis.call('ZADD', key .. ':waiting', now + wait + 1, told.tenant)
        redis.call('EXPIRE', key .. ':queue', told.window * 2)
        redis.call('EXPIRE', key .. ':waiting', told.window * 2)
        return wait
    end
    for d = 1, 3 do
        if limits[d] > 0 then take(key .. ':' .. d, costs[d], tick) end
    end
    note_tenant(key, part)
    return nil, tick
end

for _, one in ipairs(told.corrections) do correct(one) end

local refused, code = nil, 'circuit_open'
for i, target in ipairs(told.targets) do
    local stored = redis.call('GET', target.circuit)
    local circuit = stored and cjson.decode(stored)
    if circuit and circuit.is_tripped and not target.probes then
        if circuit.open_until <= now then return {'half_open', i} end
        refused = math.min(refused or math.huge, circuit.open_until - now)
    else
        local wait, at = rates(target)
        if not wait then
            local seen = ''
            if told.prefix ~= '' then
                local last = redis.call('SET', told.prefix, now, 'EX', 3600, 'GET')
                if last then seen = tostring(now - tonumber(last)) end
            end
            return {'passed', i, at, seen}
        end
        refused = math.min(refused or math.huge, wait)
        code = 'rate_limited'
    end
end
return {'refused', code, tostring(refused)}
