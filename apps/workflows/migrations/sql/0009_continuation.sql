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
