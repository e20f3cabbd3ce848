-- Slots of live workers that serve a Celery queue. A worker is live for 20 s after its last heartbeat.
CREATE FUNCTION workflows_live_slots(p_celery_queue text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(slots), 0) FROM workflows_heartbeat
    WHERE kind = 'worker' AND p_celery_queue = ANY(queues) AND beat_at > now() - interval '20 seconds'
$$;

-- The Celery queue that carries a step: the shared one of its queue, or its pool's own.
CREATE FUNCTION workflows_celery_queue(p_queue text, p_pool text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_pool WHEN 'shared' THEN p_queue ELSE p_queue || '.' || p_pool END
$$;

-- The Celery task that ran the last of the steps a step needs, so that Flower shows the chain.
CREATE FUNCTION workflows_parent_task(p_workflow uuid, p_needs text[]) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT id || ':' || attempt FROM workflows_step
    WHERE workflow_id = p_workflow AND node = ANY (p_needs) ORDER BY finished_at DESC LIMIT 1
$$;

-- Admission. Start-time fair queueing (Goyal, Vin and Cheng, 1996) over the lanes of one queue, charged in
-- estimated tokens over the tenant's weight, within: the slots of live workers, the queue's max_concurrent,
-- the tenant's max_concurrent_steps, and the tenant being active. A tenant's earlier workflows go first, so
-- that what was begun is ended. Running counts are counted, never kept: they cannot drift.
-- Returns the hints to send. One session admits at a time; another finds the row locked and returns nothing.
CREATE FUNCTION workflows_admit(p_queue text, p_limit int)
RETURNS TABLE (
    step_id uuid, attempt int, workflow_id uuid, label text, celery_queue text, parent_task_id text)
LANGUAGE plpgsql AS $$
DECLARE
    v_queue workflows_queueconfig;
    v_free bigint;
    v_pool_free jsonb;
    v_running jsonb;
    v_passed uuid[] := '{}';
    v_lane record;
    v_step record;
    v_start double precision;
    v_granted int := 0;
BEGIN
    SELECT * INTO v_queue FROM workflows_queueconfig WHERE name = p_queue FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND OR NOT EXISTS (
        SELECT 1 FROM workflows_lane l WHERE l.queue_id = p_queue AND l.backlogged) THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    v_start := v_queue.virtual_time;
    SELECT v_queue.max_concurrent - coalesce(sum(steps), 0),
           coalesce(jsonb_object_agg(tenant, steps), '{}')
    INTO v_free, v_running
    FROM (SELECT s.tenant_id AS tenant, count(*) AS steps FROM workflows_step s
          WHERE s.queue_id = p_queue AND s.status IN ('dispatched', 'running') GROUP BY 1) AS active;
    SELECT coalesce(jsonb_object_agg(pools.pool,
               workflows_live_slots(workflows_celery_queue(p_queue, pools.pool)) - coalesce(used.steps, 0)), '{}')
    INTO v_pool_free
    FROM (SELECT DISTINCT tier.pool FROM tenants_tenanttier tier) AS pools
    LEFT JOIN (SELECT tier.pool, sum(running.value::text::int) AS steps
               FROM jsonb_each(v_running) AS running
               JOIN tenants_tenant t ON t.id = running.key::uuid
               JOIN tenants_tenanttier tier ON tier.name = t.tier_id GROUP BY 1) AS used
      ON used.pool = pools.pool;

    WHILE v_granted < p_limit AND v_free > 0 LOOP
        SELECT l.tenant_id, l.virtual_time, t.status, tier.pool, tier.weight, tier.max_concurrent_steps
        INTO v_lane
        FROM workflows_lane l
        JOIN tenants_tenant t ON t.id = l.tenant_id JOIN tenants_tenanttier tier ON tier.name = t.tier_id
        WHERE l.queue_id = p_queue AND l.backlogged AND l.tenant_id <> ALL (v_passed)
        ORDER BY l.virtual_time LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF v_lane.status <> 'active'
           OR coalesce((v_pool_free ->> v_lane.pool)::bigint, 0) <= 0
           OR coalesce((v_running ->> v_lane.tenant_id::text)::int, 0) >= v_lane.max_concurrent_steps THEN
            v_passed := v_passed || v_lane.tenant_id;
            CONTINUE;
        END IF;
        SELECT s.id, s.attempt, s.workflow_id, s.label, s.estimated_tokens, s.needs INTO v_step
        FROM workflows_step s
        WHERE s.queue_id = p_queue AND s.tenant_id = v_lane.tenant_id AND s.status = 'ready'
        ORDER BY s.workflow_id, s.position, s.index LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            UPDATE workflows_lane l SET backlogged = false
            WHERE l.queue_id = p_queue AND l.tenant_id = v_lane.tenant_id
              AND NOT EXISTS (SELECT 1 FROM workflows_step s WHERE s.queue_id = p_queue
                              AND s.tenant_id = v_lane.tenant_id AND s.status = 'ready');
            v_passed := v_passed || v_lane.tenant_id;
            CONTINUE;
        END IF;
        v_start := greatest(v_start, v_lane.virtual_time);
        UPDATE workflows_lane l
        SET virtual_time = v_start + v_step.estimated_tokens::float / v_lane.weight
        WHERE l.queue_id = p_queue AND l.tenant_id = v_lane.tenant_id;
        UPDATE workflows_step s SET status = 'dispatched', hinted_at = now(), hints = 1
        WHERE s.id = v_step.id;
        v_granted := v_granted + 1;
        v_free := v_free - 1;
        v_running := jsonb_set(v_running, ARRAY[v_lane.tenant_id::text],
            to_jsonb(coalesce((v_running ->> v_lane.tenant_id::text)::int, 0) + 1));
        v_pool_free := jsonb_set(v_pool_free, ARRAY[v_lane.pool],
            to_jsonb((v_pool_free ->> v_lane.pool)::bigint - 1));
        step_id := v_step.id;
        attempt := v_step.attempt + 1;
        workflow_id := v_step.workflow_id;
        label := v_step.label;
        celery_queue := workflows_celery_queue(p_queue, v_lane.pool);
        parent_task_id := workflows_parent_task(v_step.workflow_id, v_step.needs);
        RETURN NEXT;
    END LOOP;
    IF v_start > v_queue.virtual_time THEN
        UPDATE workflows_queueconfig SET virtual_time = v_start WHERE name = p_queue;
    END IF;
END $$;

-- Admission over all queues, the most urgent first, in one round trip.
CREATE FUNCTION workflows_admit_all(p_limit int)
RETURNS TABLE (
    step_id uuid, attempt int, workflow_id uuid, label text, celery_queue text, parent_task_id text)
LANGUAGE plpgsql AS $$
DECLARE
    v_queue text;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR v_queue IN
        SELECT q.name FROM workflows_queueconfig q
        WHERE EXISTS (SELECT 1 FROM workflows_lane l WHERE l.queue_id = q.name AND l.backlogged)
        ORDER BY q.priority DESC
    LOOP
        RETURN QUERY SELECT * FROM workflows_admit(v_queue, p_limit);
    END LOOP;
END $$;

-- Whether a worker that has just finished a step of this tenant may go on with its next one in the same slot.
-- Counts do not change by it. While no other tenant waits, it may; while one does, it is charged as admission
-- would charge it and may run ahead of the line by the queue's quantum (deficit round robin, Shreedhar and
-- Varghese, 1995).
CREATE FUNCTION workflows_grant_continuation(p_queue text, p_tenant uuid, p_tokens int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_active boolean;
    v_others double precision;
    v_queue workflows_queueconfig;
BEGIN
    SELECT t.status = 'active', (SELECT min(l.virtual_time) FROM workflows_lane l
                                 WHERE l.queue_id = p_queue AND l.backlogged AND l.tenant_id <> p_tenant)
    INTO v_active, v_others FROM tenants_tenant t WHERE t.id = p_tenant;
    IF NOT v_active OR v_others IS NULL THEN
        RETURN v_active;
    END IF;
    SELECT * INTO v_queue FROM workflows_queueconfig WHERE name = p_queue;
    UPDATE workflows_lane l
    SET virtual_time = greatest(l.virtual_time, v_queue.virtual_time) + p_tokens::float / tier.weight
    FROM tenants_tenant t JOIN tenants_tenanttier tier ON tier.name = t.tier_id
    WHERE l.queue_id = p_queue AND l.tenant_id = p_tenant AND t.id = p_tenant
      AND greatest(l.virtual_time, v_queue.virtual_time)
          <= greatest(v_others, v_queue.virtual_time) + v_queue.quantum_tokens::float / tier.weight;
    RETURN FOUND;
END $$;

-- Steps whose hint was not answered: lost with the broker, or with the worker that took it. The same attempt is
-- hinted again after 5 s, then after twice as long each time, up to a minute.
CREATE FUNCTION workflows_overdue_hints(p_limit int)
RETURNS TABLE (
    step_id uuid, attempt int, workflow_id uuid, label text, celery_queue text, parent_task_id text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH overdue AS (
        SELECT s.id FROM workflows_step s
        WHERE s.status = 'dispatched'
          AND s.hinted_at < now() - least(60, 5 * 2 ^ (s.hints - 1)) * interval '1 second'
        LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED),
    hinted AS (
        UPDATE workflows_step s SET hinted_at = now(), hints = least(s.hints + 1, 30)
        FROM overdue WHERE s.id = overdue.id
        RETURNING s.id, s.attempt + 1 AS next_attempt, s.workflow_id, s.label, s.queue_id, s.tenant_id,
                  s.needs)
    SELECT h.id, h.next_attempt, h.workflow_id, h.label::text,
           workflows_celery_queue(h.queue_id, tier.pool), workflows_parent_task(h.workflow_id, h.needs)
    FROM hinted h JOIN tenants_tenant t ON t.id = h.tenant_id
    JOIN tenants_tenanttier tier ON tier.name = t.tier_id;
END $$;

-- Waiting steps whose time has come are ready. Returns how many.
CREATE FUNCTION workflows_wake_due(p_limit int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_lane record;
    v_count int := 0;
BEGIN
    FOR v_lane IN
        WITH due AS (
            SELECT id FROM workflows_step WHERE status = 'waiting' AND run_at <= now()
            ORDER BY run_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED),
        woken AS (
            UPDATE workflows_step s SET status = 'ready', waiting_for = NULL, run_at = NULL, ready_at = now()
            FROM due WHERE s.id = due.id RETURNING s.queue_id, s.tenant_id)
        SELECT queue_id, tenant_id, count(*) AS steps FROM woken GROUP BY 1, 2
    LOOP
        PERFORM workflows_mark_lane(v_lane.queue_id, v_lane.tenant_id);
        v_count := v_count + v_lane.steps;
    END LOOP;
    RETURN v_count;
END $$;

-- Lanes that have ready steps but lost their mark to a race with admission. Walks the distinct lanes of the
-- ready index (a loose index scan), so that its cost grows with lanes and not with steps.
CREATE FUNCTION workflows_mark_lost_lanes() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_queue text;
    v_tenant uuid;
BEGIN
    FOR v_queue IN SELECT name FROM workflows_queueconfig LOOP
        v_tenant := NULL;
        LOOP
            SELECT s.tenant_id INTO v_tenant FROM workflows_step s
            WHERE s.queue_id = v_queue AND s.status = 'ready' AND (v_tenant IS NULL OR s.tenant_id > v_tenant)
            ORDER BY s.tenant_id LIMIT 1;
            EXIT WHEN NOT FOUND;
            PERFORM workflows_mark_lane(v_queue, v_tenant);
        END LOOP;
    END LOOP;
END $$;
