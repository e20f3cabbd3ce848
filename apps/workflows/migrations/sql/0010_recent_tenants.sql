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
        v_start := greatest(coalesce((v_virtual_times ->> v_lane.pool)::float, v_queue.virtual_time),
                            v_lane.virtual_time);
        v_virtual_times := jsonb_set(v_virtual_times, ARRAY[v_lane.pool], to_jsonb(v_start));
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

-- Everything that decides whether a ready step of this lane is admitted, in numbers
-- (agentplatform.workflows.queueing.LaneFacts).
CREATE OR REPLACE FUNCTION workflows_lane_facts(p_queue text, p_tenant uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
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

-- Whether a worker that has just finished a step of this tenant may go on with its next one in the same slot.
-- Counts do not change by it. While no other tenant of its pool waits, it may; while one does, it is charged as
-- admission would charge it and may run ahead of the line by the queue's quantum (deficit round robin, Shreedhar
-- and Varghese, 1995). While it has more slots than its share it may not, which is found out here, since its lane is not
-- written to: whoever waits then waits for no more than the next step's end. A tenant that has used half a minute's worth of its steps or tokens goes through admission,
-- which counts them one by one; what goes on without it is counted within a second (workflows_account).
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
    -- The step that has just ended is no longer counted.
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
