-- Seconds until a tenant's allowance per minute has room for `p_cost` of it; 0 when it has now. What costs more
-- than a minute's worth needs the whole allowance. The generic cell rate algorithm (agentplatform.rates).
CREATE FUNCTION workflows_rate_wait(p_due_at timestamptz, p_per_minute int, p_cost float)
RETURNS float LANGUAGE sql STABLE AS $$
    SELECT greatest(0, coalesce(extract(epoch FROM p_due_at - now()), 0)::float
                       - greatest(0, 60 - 60 * p_cost / p_per_minute))
$$;

-- When an allowance will be whole again, once `p_cost` more of it is used (or less, where it is negative).
CREATE FUNCTION workflows_rate_due(p_due_at timestamptz, p_per_minute int, p_cost float)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_cost > 0 THEN greatest(p_due_at, now()) ELSE coalesce(p_due_at, now()) END
           + 60 * p_cost / p_per_minute * interval '1 second'
$$;

-- The slots of live workers that serve a queue, by pool of workers, and how many of them are free. A worker that
-- serves several queues, or has been lent, may hold steps of others; and steps may run on one that has left.
CREATE FUNCTION workflows_pool_slots(p_queue text)
RETURNS TABLE (pool text, slots bigint, free bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    WITH pools AS (
        SELECT DISTINCT tier.pool::text AS pool, workflows_celery_queue(p_queue, tier.pool) AS celery_queue
        FROM tenants_tenanttier tier),
    active AS (
        SELECT l.pool, sum(by_tenant.steps)::bigint AS steps
        FROM (SELECT s.tenant_id, count(*) AS steps FROM workflows_step s
              WHERE s.queue_id = p_queue AND s.status IN ('dispatched', 'running') GROUP BY 1) AS by_tenant
        JOIN tenants_limits l ON l.tenant_id = by_tenant.tenant_id GROUP BY 1)
    SELECT p.pool, live.slots, live.slots - coalesce(a.steps, 0)
    FROM pools p CROSS JOIN LATERAL (SELECT workflows_live_slots(p.celery_queue) AS slots) AS live
    LEFT JOIN active a ON a.pool = p.pool;
END $$;

-- What `free` of workflows_pool_slots has to be corrected by, where a worker that serves several queues, or may be
-- lent, is alive: less the steps of other queues on its slots, plus the queue's own steps on workers lent away.
CREATE FUNCTION workflows_shared_slots(p_queue text)
RETURNS TABLE (pool text, correction bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM workflows_heartbeat WHERE kind = 'worker' AND (is_lendable OR cardinality(queues) > 1)
        AND beat_at > now() - interval '20 seconds') THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH pools AS (
        SELECT DISTINCT tier.pool::text AS pool, workflows_celery_queue(p_queue, tier.pool) AS celery_queue
        FROM tenants_tenanttier tier),
    shared AS (
        SELECT h.name, h.queues FROM workflows_heartbeat h
        WHERE h.kind = 'worker' AND (h.is_lendable OR cardinality(h.queues) > 1)
          AND h.beat_at > now() - interval '20 seconds'),
    active AS (
        SELECT s.id, s.status, s.worker, workflows_celery_queue(s.queue_id, l.pool) AS celery_queue
        FROM workflows_step s JOIN tenants_limits l ON l.tenant_id = s.tenant_id
        WHERE s.status IN ('dispatched', 'running'))
    SELECT p.pool,
           count(DISTINCT a.id) FILTER (
               WHERE a.celery_queue = p.celery_queue AND a.status = 'running' AND a.worker = h.name
                 AND p.celery_queue <> ALL (h.queues))
           - count(DISTINCT a.id) FILTER (
               WHERE a.celery_queue <> p.celery_queue AND p.celery_queue = ANY (h.queues)
                 AND CASE a.status WHEN 'running' THEN a.worker = h.name ELSE a.celery_queue = ANY (h.queues) END)
    FROM pools p CROSS JOIN shared h CROSS JOIN active a GROUP BY 1;
END $$;

-- The virtual time of a tenant's pool of workers in a queue: that of the lane that was served last.
CREATE FUNCTION workflows_virtual_time(p_queue text, p_tenant uuid) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT coalesce((q.virtual_times ->> lim.pool)::float, q.virtual_time)
    FROM workflows_queueconfig q, tenants_limits lim WHERE q.name = p_queue AND lim.tenant_id = p_tenant
$$;

-- Marks a lane that has something ready. One that had nothing begins at the present virtual time: what it did not
-- ask for while it was idle is not owed to it. While it has a backlog its own virtual time counts, even behind the
-- present one: estimates that were too high are given back to it, and would be lost otherwise.
CREATE OR REPLACE FUNCTION workflows_mark_lane(p_queue text, p_tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM workflows_lane
                   WHERE queue_id = p_queue AND tenant_id = p_tenant AND backlogged) THEN
        INSERT INTO workflows_lane AS lane (queue_id, tenant_id, virtual_time, backlogged)
        VALUES (p_queue, p_tenant, coalesce(workflows_virtual_time(p_queue, p_tenant), 0), true)
        ON CONFLICT (queue_id, tenant_id) DO UPDATE
        SET backlogged = true, virtual_time = greatest(lane.virtual_time, excluded.virtual_time)
        WHERE NOT lane.backlogged;
    END IF;
END $$;

-- The most slots of a pool that one tenant holds while others wait for it: 80%, and at least one.
CREATE FUNCTION workflows_share_cap(p_slots bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(1, floor(0.8 * p_slots)::bigint)
$$;

-- How many of a pool's free slots other tiers are still short of, of what they are guaranteed.
CREATE FUNCTION workflows_reserved_slots(p_tiers jsonb, p_pool text, p_tier text)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(sum(greatest(0, (value ->> 'guaranteed')::int - (value ->> 'active')::int)), 0)::bigint
    FROM jsonb_each(p_tiers) WHERE key <> p_tier AND value ->> 'pool' = p_pool
$$;

-- The two tenants that were admitted last to a pool, and when, once another is.
CREATE FUNCTION workflows_seen(p_recent jsonb, p_pool text, p_tenant text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT p_recent || jsonb_build_object(p_pool, CASE
        WHEN p_recent -> p_pool ->> 'tenant' = p_tenant
        THEN (p_recent -> p_pool) || jsonb_build_object('at', extract(epoch FROM now()))
        ELSE jsonb_build_object(
            'tenant', p_tenant, 'at', extract(epoch FROM now()),
            'other', p_recent -> p_pool -> 'tenant', 'other_at', p_recent -> p_pool -> 'at') END)
$$;

-- Whether a tenant other than this was admitted to the pool in the last two seconds.
CREATE FUNCTION workflows_seen_beside(p_recent jsonb, p_pool text, p_tenant text)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce((p_recent -> p_pool ->> CASE WHEN p_recent -> p_pool ->> 'tenant' = p_tenant
                                            THEN 'other_at' ELSE 'at' END)::float
                    > extract(epoch FROM now()) - 2, false)
$$;

-- Admission. Start-time fair queueing (Goyal, Vin and Cheng, 1996) over the lanes of one queue, charged in
-- estimated tokens over the tenant's weight (corrected at the step's end: workflows_account), within: the slots of
-- live workers of the tenant's pool; the queue's max_concurrent, and its tier's in it; the tenant's
-- max_concurrent_steps over all queues, its steps and tokens a minute, and its being active. Slots that a tier is
-- still short of, of its guaranteed share, are left to it; and a tenant that has 80% of its pool's slots comes after
-- all others, and gets no more while another was admitted in the last two seconds: who comes again and again finds a
-- slot free. A tenant's earlier workflows go first, so that what was begun is ended. Running counts are counted,
-- never kept: they cannot drift. Returns the hints to send. One session admits at a time, since tenants' limits span
-- the queues.
CREATE OR REPLACE FUNCTION workflows_admit(p_queue text, p_limit int)
RETURNS TABLE (
    step_id uuid, attempt int, workflow_id uuid, label text, celery_queue text, parent_task_id text)
LANGUAGE plpgsql AS $$
DECLARE
    v_queue workflows_queueconfig;
    v_free bigint;
    v_pool_free jsonb;
    v_pool_cap jsonb;
    v_virtual_times jsonb;
    v_recent jsonb;
    v_here jsonb;        -- tenant → its steps under way in this queue
    v_everywhere jsonb;  -- and in all
    v_tiers jsonb;       -- tier → under way, most (null: no limit), guaranteed (0: none of it waits), pool
    v_deferred uuid[] := '{}';  -- tenants that come last
    v_last boolean := false;
    v_at double precision := '-Infinity';
    v_at_tenant uuid := '00000000-0000-0000-0000-000000000000';
    v_lane record;
    v_step record;
    v_step_id uuid;
    v_start double precision;
    v_now double precision;
    v_granted int := 0;
    v_tenant text;
    v_held boolean;
    v_is_reserved boolean;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM workflows_lane l WHERE l.queue_id = p_queue AND l.backlogged) THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtext('workflows_admit'));
    SELECT * INTO v_queue FROM workflows_queueconfig WHERE name = p_queue FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_virtual_times := v_queue.virtual_times;
    v_recent := v_queue.recent_tenants;
    WITH active AS MATERIALIZED (
        SELECT counted.queue, counted.tenant, counted.steps, lim.tier, lim.pool
        FROM (SELECT s.queue_id AS queue, s.tenant_id AS tenant, count(*) AS steps FROM workflows_step s
              WHERE s.status IN ('dispatched', 'running') GROUP BY 1, 2) AS counted
        JOIN tenants_limits lim ON lim.tenant_id = counted.tenant),
    here AS MATERIALIZED (SELECT * FROM active WHERE queue = p_queue),
    slots AS MATERIALIZED (
        SELECT live.pool, live.slots, live.slots - coalesce((SELECT sum(steps) FROM here WHERE here.pool = live.pool), 0)
               + coalesce(shared.correction, 0) AS free
        FROM (SELECT pools.pool, workflows_live_slots(workflows_celery_queue(p_queue, pools.pool)) AS slots
              FROM (SELECT DISTINCT tier.pool::text FROM tenants_tenanttier tier) AS pools) AS live
        LEFT JOIN workflows_shared_slots(p_queue) shared USING (pool)),
    tiers AS (
        SELECT tier.name, tier.pool, own.max_concurrent,
               coalesce((SELECT sum(steps) FROM here WHERE here.tier = tier.name), 0) AS active,
               floor(own.guaranteed_percent / 100.0 * slots.slots) AS guaranteed
        FROM tenants_tenanttier tier LEFT JOIN slots ON slots.pool = tier.pool
        LEFT JOIN workflows_queuepool own ON own.queue_id = p_queue AND own.tier_id = tier.name)
    SELECT v_queue.max_concurrent - coalesce((SELECT sum(steps) FROM here), 0),
           coalesce((SELECT jsonb_object_agg(tenant, steps) FROM here), '{}'),
           coalesce((SELECT jsonb_object_agg(tenant, steps)
                     FROM (SELECT tenant, sum(steps) AS steps FROM active GROUP BY 1) AS by_tenant), '{}'),
           (SELECT jsonb_object_agg(pool, free) FROM slots),
           (SELECT jsonb_object_agg(pool, workflows_share_cap(least(slots.slots, v_queue.max_concurrent)))
            FROM slots),
           (SELECT jsonb_object_agg(name, jsonb_build_object(
                       'active', active, 'most', max_concurrent, 'pool', pool,
                       'guaranteed', CASE WHEN guaranteed > active AND EXISTS (
                           SELECT 1 FROM workflows_lane l JOIN tenants_limits lim ON lim.tenant_id = l.tenant_id
                           WHERE l.queue_id = p_queue AND l.backlogged AND NOT l.held AND lim.tier = tiers.name)
                       THEN guaranteed ELSE 0 END))
            FROM tiers)
    INTO v_free, v_here, v_everywhere, v_pool_free, v_pool_cap, v_tiers;
    v_is_reserved := EXISTS (SELECT 1 FROM jsonb_each(v_tiers) WHERE (value ->> 'guaranteed')::int > 0);

    WHILE v_granted < p_limit AND v_free > 0 LOOP
        SELECT l.tenant_id, l.virtual_time, l.held, lim.status, lim.tier, lim.pool, lim.weight,
               lim.max_concurrent_steps, lim.steps_per_minute, lim.tokens_per_minute,
               a.steps_due_at, a.tokens_due_at
        INTO v_lane
        FROM workflows_lane l JOIN tenants_limits lim ON lim.tenant_id = l.tenant_id
        LEFT JOIN workflows_allowance a ON a.tenant_id = l.tenant_id
        WHERE l.queue_id = p_queue AND l.backlogged AND (l.virtual_time, l.tenant_id) > (v_at, v_at_tenant)
          AND (NOT v_last OR l.tenant_id = ANY (v_deferred))
        ORDER BY l.virtual_time, l.tenant_id LIMIT 1;
        IF NOT FOUND THEN
            EXIT WHEN v_last OR v_deferred = '{}';
            v_last := true;
            v_at := '-Infinity';
            v_at_tenant := '00000000-0000-0000-0000-000000000000';
            CONTINUE;
        END IF;
        v_tenant := v_lane.tenant_id;
        v_step_id := NULL;
        v_held := v_lane.status <> 'active'
            OR coalesce((v_everywhere ->> v_tenant)::int, 0) >= v_lane.max_concurrent_steps
            OR (v_tiers -> v_lane.tier ->> 'active')::int >= (v_tiers -> v_lane.tier ->> 'most')::int
            OR workflows_rate_wait(v_lane.steps_due_at, v_lane.steps_per_minute, 1) > 0;
        v_held := coalesce(v_held, false);
        IF NOT v_held AND coalesce((v_pool_free ->> v_lane.pool)::bigint, 0) > 0 THEN
            IF NOT v_last AND (
                coalesce((v_here ->> v_tenant)::int, 0) >= (v_pool_cap ->> v_lane.pool)::bigint
                OR v_is_reserved AND workflows_reserved_slots(v_tiers, v_lane.pool, v_lane.tier)
                                     >= (v_pool_free ->> v_lane.pool)::bigint) THEN
                v_deferred := v_deferred || v_lane.tenant_id;
                -- What it may not have now is not owed to it later.
                UPDATE workflows_lane l SET virtual_time = (v_virtual_times ->> v_lane.pool)::float
                WHERE l.queue_id = p_queue AND l.tenant_id = v_lane.tenant_id
                  AND l.virtual_time < (v_virtual_times ->> v_lane.pool)::float;
            ELSIF v_last AND coalesce((v_here ->> v_tenant)::int, 0) >= (v_pool_cap ->> v_lane.pool)::bigint
                  AND workflows_seen_beside(v_recent, v_lane.pool, v_tenant) THEN
                NULL;  -- another may come again any moment
            ELSE
                SELECT s.id, s.attempt, s.workflow_id, s.label, s.estimated_tokens, s.needs INTO v_step
                FROM workflows_step s
                WHERE s.queue_id = p_queue AND s.tenant_id = v_lane.tenant_id AND s.status = 'ready'
                ORDER BY s.workflow_id, s.position, s.index LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
                IF NOT FOUND THEN
                    UPDATE workflows_lane l SET backlogged = false, held = false
                    WHERE l.queue_id = p_queue AND l.tenant_id = v_lane.tenant_id
                      AND NOT EXISTS (SELECT 1 FROM workflows_step s WHERE s.queue_id = p_queue
                                      AND s.tenant_id = v_lane.tenant_id AND s.status = 'ready');
                ELSE
                    v_step_id := v_step.id;
                    v_held := workflows_rate_wait(
                        v_lane.tokens_due_at, v_lane.tokens_per_minute, v_step.estimated_tokens) > 0;
                END IF;
            END IF;
        END IF;
        IF v_held <> v_lane.held THEN
            UPDATE workflows_lane l SET held = v_held
            WHERE l.queue_id = p_queue AND l.tenant_id = v_lane.tenant_id AND l.backlogged;
        END IF;
        IF v_held OR v_step_id IS NULL THEN
            v_at := v_lane.virtual_time;
            v_at_tenant := v_lane.tenant_id;
            CONTINUE;
        END IF;
        v_now := coalesce((v_virtual_times ->> v_lane.pool)::float, v_queue.virtual_time);
        v_start := CASE WHEN v_lane.held THEN greatest(v_now, v_lane.virtual_time) ELSE v_lane.virtual_time END;
        v_virtual_times := jsonb_set(v_virtual_times, ARRAY[v_lane.pool], to_jsonb(greatest(v_now, v_start)));
        UPDATE workflows_lane l
        SET virtual_time = v_start + v_step.estimated_tokens::float / v_lane.weight
        WHERE l.queue_id = p_queue AND l.tenant_id = v_lane.tenant_id;
        UPDATE workflows_step s SET status = 'dispatched', hinted_at = now(), hints = 1
        WHERE s.id = v_step.id;
        INSERT INTO workflows_allowance AS a (tenant_id, steps_due_at, tokens_due_at)
        VALUES (v_lane.tenant_id, workflows_rate_due(NULL, v_lane.steps_per_minute, 1),
                workflows_rate_due(NULL, v_lane.tokens_per_minute, v_step.estimated_tokens))
        ON CONFLICT (tenant_id) DO UPDATE SET
            steps_due_at = workflows_rate_due(a.steps_due_at, v_lane.steps_per_minute, 1),
            tokens_due_at = workflows_rate_due(
                a.tokens_due_at, v_lane.tokens_per_minute, v_step.estimated_tokens);
        v_recent := workflows_seen(v_recent, v_lane.pool, v_tenant);
        v_granted := v_granted + 1;
        v_free := v_free - 1;
        v_here := jsonb_set(v_here, ARRAY[v_tenant], to_jsonb(coalesce((v_here ->> v_tenant)::int, 0) + 1));
        v_everywhere := jsonb_set(
            v_everywhere, ARRAY[v_tenant], to_jsonb(coalesce((v_everywhere ->> v_tenant)::int, 0) + 1));
        v_pool_free := jsonb_set(v_pool_free, ARRAY[v_lane.pool],
            to_jsonb((v_pool_free ->> v_lane.pool)::bigint - 1));
        v_tiers := jsonb_set(v_tiers, ARRAY[v_lane.tier, 'active'],
            to_jsonb((v_tiers -> v_lane.tier ->> 'active')::int + 1));
        step_id := v_step.id;
        attempt := v_step.attempt + 1;
        workflow_id := v_step.workflow_id;
        label := v_step.label;
        celery_queue := workflows_celery_queue(p_queue, v_lane.pool);
        parent_task_id := workflows_parent_task(v_step.workflow_id, v_step.needs);
        RETURN NEXT;
    END LOOP;
    IF v_granted > 0 THEN
        UPDATE workflows_queueconfig SET virtual_times = v_virtual_times, recent_tenants = v_recent
        WHERE name = p_queue;
    END IF;
    -- Tenants over a limit of theirs, after a change of it, are found by workflows_review_lanes.
    IF v_free < 0 OR EXISTS (
        SELECT 1 FROM workflows_lane l WHERE l.queue_id = p_queue AND l.must_yield) OR EXISTS (
        SELECT 1 FROM jsonb_each_text(v_here) AS held
        WHERE held.value::int > (SELECT min(cap.value::int) FROM jsonb_each_text(v_pool_cap) AS cap
                                 WHERE cap.value::int > 1)) THEN
        PERFORM workflows_mark_yielding(p_queue, v_here, v_everywhere, v_pool_cap, v_queue.max_concurrent);
    END IF;
END $$;

-- Marks the lanes that hold more slots than they should, so that none of these goes on with a next step: more than
-- 80% of their pool's while another tenant waits; more than the tenant's or the queue's limit, after a change of it.
CREATE FUNCTION workflows_mark_yielding(
    p_queue text, p_here jsonb, p_everywhere jsonb, p_pool_cap jsonb, p_most int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_over boolean;
BEGIN
    SELECT coalesce(sum(value::text::int), 0) > p_most INTO v_over FROM jsonb_each(p_here);
    UPDATE workflows_lane l SET must_yield = judged.must_yield
    FROM (
        SELECT own.tenant_id, coalesce((p_here ->> own.tenant_id::text)::int, 0) > 0 AND (
                   v_over OR (p_everywhere ->> own.tenant_id::text)::int > lim.max_concurrent_steps
                   OR coalesce((p_here ->> own.tenant_id::text)::int, 0) > (p_pool_cap ->> lim.pool)::int
                   AND EXISTS (
                       SELECT 1 FROM workflows_lane other
                       JOIN tenants_limits their ON their.tenant_id = other.tenant_id
                       WHERE other.queue_id = p_queue AND other.backlogged AND NOT other.held
                         AND other.tenant_id <> own.tenant_id AND their.pool = lim.pool)) AS must_yield
        FROM workflows_lane own JOIN tenants_limits lim ON lim.tenant_id = own.tenant_id
        WHERE own.queue_id = p_queue
          AND (own.must_yield OR own.tenant_id IN (SELECT key::uuid FROM jsonb_each(p_here)))) AS judged
    WHERE l.queue_id = p_queue AND l.tenant_id = judged.tenant_id AND l.must_yield <> judged.must_yield;
END $$;

-- What admission has no occasion to see while nothing is free or nothing waits: lanes that may go on again, and
-- lanes that have become too large.
CREATE FUNCTION workflows_review_lanes() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_queue record;
    v_here jsonb;
    v_everywhere jsonb;
    v_cap jsonb;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtext('workflows_admit'));
    UPDATE workflows_lane l
    SET held = false, virtual_time = greatest(l.virtual_time, workflows_virtual_time(l.queue_id, l.tenant_id))
    FROM tenants_limits lim LEFT JOIN workflows_allowance a ON a.tenant_id = lim.tenant_id
    WHERE l.held AND lim.tenant_id = l.tenant_id AND lim.status = 'active'
      AND workflows_rate_wait(a.steps_due_at, lim.steps_per_minute, 1) = 0
      AND workflows_rate_wait(a.tokens_due_at, lim.tokens_per_minute, 1) = 0
      AND lim.max_concurrent_steps > (SELECT count(*) FROM workflows_step s WHERE s.tenant_id = l.tenant_id
                                      AND s.status IN ('dispatched', 'running'));
    SELECT coalesce(jsonb_object_agg(tenant, steps), '{}') INTO v_everywhere
    FROM (SELECT s.tenant_id AS tenant, count(*) AS steps FROM workflows_step s
          WHERE s.status IN ('dispatched', 'running') GROUP BY 1) AS active;
    FOR v_queue IN
        SELECT q.name, q.max_concurrent FROM workflows_queueconfig q ORDER BY q.name
    LOOP
        SELECT coalesce(jsonb_object_agg(tenant, steps), '{}') INTO v_here
        FROM (SELECT s.tenant_id AS tenant, count(*) AS steps FROM workflows_step s
              WHERE s.queue_id = v_queue.name AND s.status IN ('dispatched', 'running') GROUP BY 1) AS active;
        SELECT jsonb_object_agg(p.pool, workflows_share_cap(least(p.slots, v_queue.max_concurrent))) INTO v_cap
        FROM workflows_pool_slots(v_queue.name) p;
        PERFORM workflows_mark_yielding(v_queue.name, v_here, v_everywhere, v_cap, v_queue.max_concurrent);
    END LOOP;
END $$;

-- Whether a worker that has just finished a step of this tenant may go on with its next one in the same slot.
-- Counts do not change by it. While no other tenant of its pool waits, it may; while one does, it is charged as
-- admission would charge it and may run ahead of the line by the queue's quantum (deficit round robin, Shreedhar
-- and Varghese, 1995). While it has its share of the slots beside this one it may not. That is counted here, without a
-- write to its lane, whose row all of its steps that end would queue for, and admission behind them: so who waits has
-- the slot that becomes free next. A tenant that has used half a minute's worth of its steps or tokens goes through
-- admission, which counts them one by one; what goes on without it is counted within a second (workflows_account).
CREATE OR REPLACE FUNCTION workflows_grant_continuation(p_queue text, p_tenant uuid, p_tokens int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_may boolean;
    v_others double precision;
    v_weight int;
    v_pool text;
    v_quantum int;
    v_now double precision;
    v_most int;
BEGIN
    SELECT lim.status = 'active' AND NOT coalesce(l.must_yield, false)
           AND coalesce(a.steps_due_at < now() + interval '30 seconds', true)
           AND coalesce(a.tokens_due_at < now() + interval '30 seconds', true)
           AND 2 * p_tokens <= lim.tokens_per_minute,
           lim.weight, lim.pool,
           (SELECT other.virtual_time FROM workflows_lane other
            JOIN tenants_limits their ON their.tenant_id = other.tenant_id
            WHERE other.queue_id = p_queue AND other.backlogged AND NOT other.held
              AND other.tenant_id <> p_tenant AND their.pool = lim.pool
            ORDER BY other.virtual_time LIMIT 1)
    INTO v_may, v_weight, v_pool, v_others
    FROM tenants_limits lim
    LEFT JOIN workflows_lane l ON l.queue_id = p_queue AND l.tenant_id = lim.tenant_id
    LEFT JOIN workflows_allowance a ON a.tenant_id = lim.tenant_id
    WHERE lim.tenant_id = p_tenant;
    IF NOT v_may OR v_others IS NULL THEN
        RETURN v_may;
    END IF;
    SELECT q.quantum_tokens, coalesce((q.virtual_times ->> v_pool)::float, q.virtual_time), q.max_concurrent
    INTO v_quantum, v_now, v_most FROM workflows_queueconfig q WHERE q.name = p_queue;
    -- The step that has just ended is no longer among them.
    IF (SELECT count(*) FROM workflows_step s WHERE s.queue_id = p_queue AND s.tenant_id = p_tenant
        AND s.status IN ('dispatched', 'running'))
       >= workflows_share_cap(least(v_most, workflows_live_slots(workflows_celery_queue(p_queue, v_pool)))) THEN
        RETURN false;
    END IF;
    -- A lane with a backlog of its own stands where it stands in line; one without begins now, as the others would.
    UPDATE workflows_lane l
    SET virtual_time = CASE WHEN l.backlogged THEN l.virtual_time ELSE greatest(l.virtual_time, v_now) END
                       + p_tokens::float / v_weight
    WHERE l.queue_id = p_queue AND l.tenant_id = p_tenant
      AND CASE WHEN l.backlogged THEN l.virtual_time <= v_others + v_quantum::float / v_weight
          ELSE greatest(l.virtual_time, v_now) <= greatest(v_others, v_now) + v_quantum::float / v_weight END;
    RETURN FOUND;
END $$;

-- Takes over what a worker has counted since it last told: for each lane the steps that went on without admission
-- with their estimated tokens, by how many tokens steps that ended used more than estimated (fewer: negative), and
-- how many ended within how many seconds. A correction is bounded to ten quanta of the queue for each step.
CREATE FUNCTION workflows_account(p_counts jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_count record;
    v_correction float;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtext('workflows_admit'));
    FOR v_count IN
        SELECT c.*, lim.weight, lim.steps_per_minute, lim.tokens_per_minute, q.quantum_tokens
        FROM jsonb_to_recordset(p_counts) AS c(
            queue text, tenant uuid, continued int, continued_tokens float, correction_tokens float, ended int,
            seconds float)
        JOIN tenants_limits lim ON lim.tenant_id = c.tenant
        JOIN workflows_queueconfig q ON q.name = c.queue
    LOOP
        v_correction := greatest(least(v_count.correction_tokens, 10.0 * v_count.quantum_tokens * v_count.ended),
                                 -10.0 * v_count.quantum_tokens * v_count.ended);
        UPDATE workflows_allowance a SET
            steps_due_at = workflows_rate_due(a.steps_due_at, v_count.steps_per_minute, v_count.continued),
            tokens_due_at = workflows_rate_due(
                a.tokens_due_at, v_count.tokens_per_minute, v_count.continued_tokens + v_correction)
        WHERE a.tenant_id = v_count.tenant AND (v_count.continued > 0 OR v_correction <> 0);
        IF v_correction <> 0 THEN
            UPDATE workflows_lane l SET virtual_time = l.virtual_time + v_correction / v_count.weight
            WHERE l.queue_id = v_count.queue AND l.tenant_id = v_count.tenant;
        END IF;
    END LOOP;
    -- Half of what is known of a queue's pace fades in five minutes.
    INSERT INTO workflows_queuepace AS pace (queue_id, steps, seconds)
    SELECT c.queue, sum(c.ended), sum(c.seconds)
    FROM jsonb_to_recordset(p_counts) AS c(queue text, ended int, seconds float)
    WHERE c.ended > 0 GROUP BY 1 ORDER BY 1
    ON CONFLICT (queue_id) DO UPDATE SET
        steps = pace.steps * 0.5 ^ (extract(epoch FROM now() - pace.updated_at) / 300) + excluded.steps,
        seconds = pace.seconds * 0.5 ^ (extract(epoch FROM now() - pace.updated_at) / 300) + excluded.seconds,
        updated_at = now();
END $$;

-- Everything that decides whether a ready step of this lane is admitted, in numbers
-- (agentplatform.workflows.queueing.LaneFacts).
CREATE FUNCTION workflows_lane_facts(p_queue text, p_tenant uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'tenant_is_active', lim.status = 'active',
        'pool_slots', slots.slots,
        'pool_free', slots.free,
        'queue_active', (SELECT count(*) FROM workflows_step s
                         WHERE s.queue_id = p_queue AND s.status IN ('dispatched', 'running')),
        'queue_most', q.max_concurrent,
        'tier_active', (SELECT count(*) FROM workflows_step s JOIN tenants_tenant t ON t.id = s.tenant_id
                        WHERE s.queue_id = p_queue AND t.tier_id = lim.tier
                          AND s.status IN ('dispatched', 'running')),
        'tier_most', own.max_concurrent,
        'tenant_active', (SELECT count(*) FROM workflows_step s
                          WHERE s.tenant_id = p_tenant AND s.status IN ('dispatched', 'running')),
        'tenant_most', lim.max_concurrent_steps,
        'tenant_here', (SELECT count(*) FROM workflows_step s WHERE s.queue_id = p_queue
                        AND s.tenant_id = p_tenant AND s.status IN ('dispatched', 'running')),
        'share_cap', workflows_share_cap(least(slots.slots, q.max_concurrent)),
        'others_wait', workflows_seen_beside(q.recent_tenants, lim.pool, p_tenant::text) OR EXISTS (
            SELECT 1 FROM workflows_lane other JOIN tenants_limits their ON their.tenant_id = other.tenant_id
            WHERE other.queue_id = p_queue AND other.backlogged AND NOT other.held
              AND other.tenant_id <> p_tenant AND their.pool = lim.pool),
        'steps_wait_seconds', workflows_rate_wait(a.steps_due_at, lim.steps_per_minute, 1),
        'tokens_wait_seconds', workflows_rate_wait(a.tokens_due_at, lim.tokens_per_minute, coalesce((
            SELECT s.estimated_tokens FROM workflows_step s
            WHERE s.queue_id = p_queue AND s.tenant_id = p_tenant AND s.status = 'ready'
            ORDER BY s.workflow_id, s.position, s.index LIMIT 1), 0)))
    FROM tenants_limits lim
    JOIN workflows_queueconfig q ON q.name = p_queue
    LEFT JOIN LATERAL (
        SELECT p.slots, p.free + coalesce(shared.correction, 0) AS free
        FROM workflows_pool_slots(p_queue) p LEFT JOIN workflows_shared_slots(p_queue) shared USING (pool)
        WHERE p.pool = lim.pool) AS slots ON true
    LEFT JOIN workflows_queuepool own ON own.queue_id = p_queue AND own.tier_id = lim.tier
    LEFT JOIN workflows_allowance a ON a.tenant_id = p_tenant
    WHERE lim.tenant_id = p_tenant
$$;

-- How queues stand, by pool: what waits (counted up to p_most in each lane), since when, and how fast it is worked off. A wait
-- for a limit of the tenant's own is left out of `slot_wait_seconds`: more slots would not end it. The longest wait
-- is looked for in the first hundred steps of each of the first five hundred lanes.
CREATE FUNCTION workflows_queue_signals(p_most int)
RETURNS TABLE (
    queue text, pool text, slots bigint, free bigint, ready bigint, active bigint, oldest_wait_seconds float,
    slot_wait_seconds float, mean_step_seconds float)
LANGUAGE sql STABLE AS $$
    SELECT q.name, p.pool, p.slots, p.free + coalesce(shared.correction, 0), coalesce(waiting.steps, 0),
           coalesce(active.steps, 0), coalesce(waits.oldest, 0), coalesce(waits.for_slot, 0),
           pace.seconds / nullif(pace.steps, 0)
    FROM workflows_queueconfig q
    CROSS JOIN LATERAL workflows_pool_slots(q.name) p
    LEFT JOIN LATERAL workflows_shared_slots(q.name) shared ON shared.pool = p.pool
    LEFT JOIN LATERAL (
        SELECT sum(lane.steps)::bigint AS steps
        FROM workflows_lane l JOIN tenants_limits lim ON lim.tenant_id = l.tenant_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS steps
            FROM (SELECT 1 FROM workflows_step s
                  WHERE s.queue_id = q.name AND s.tenant_id = l.tenant_id AND s.status = 'ready'
                  LIMIT p_most) AS counted) AS lane
        WHERE l.queue_id = q.name AND l.backlogged AND lim.pool = p.pool) AS waiting ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS steps FROM workflows_step s JOIN tenants_limits lim ON lim.tenant_id = s.tenant_id
        WHERE s.queue_id = q.name AND s.status IN ('dispatched', 'running') AND lim.pool = p.pool) AS active ON true
    LEFT JOIN LATERAL (
        SELECT extract(epoch FROM now() - min(heads.ready_at))::float AS oldest,
               extract(epoch FROM now() - min(heads.ready_at) FILTER (WHERE NOT heads.held))::float AS for_slot
        FROM (SELECT l.tenant_id, l.held FROM workflows_lane l
              JOIN tenants_limits lim ON lim.tenant_id = l.tenant_id
              WHERE l.queue_id = q.name AND l.backlogged AND lim.pool = p.pool
              ORDER BY l.virtual_time LIMIT 500) AS lanes
        CROSS JOIN LATERAL (
            SELECT s.ready_at, lanes.held FROM workflows_step s
            WHERE s.queue_id = q.name AND s.tenant_id = lanes.tenant_id AND s.status = 'ready'
            ORDER BY s.workflow_id, s.position, s.index LIMIT 100) AS heads) AS waits ON true
    LEFT JOIN workflows_queuepace pace ON pace.queue_id = q.name
    ORDER BY q.priority DESC, q.name, p.pool
$$;
