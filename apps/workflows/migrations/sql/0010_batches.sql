-- Leaves a call to a batch, unless its worst case would take the workflow over its max_cost: then null.
CREATE FUNCTION workflows_leave_to_batch(p_workflow uuid, p_call jsonb, p_request jsonb, p_model text, p_bytes int)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM workflows_workflow WHERE id = p_workflow
        AND cost_usd_micros + (p_call ->> 'worst_case_usd_micros')::bigint > max_cost_usd_micros) THEN
        RETURN NULL;
    END IF;
    RETURN gateway_leave_to_batch(p_call, p_request, p_model, p_bytes);
END $$;

-- Settles results of a batch, each call once by its id, and notes how their requests have ended. Workflows are locked
-- in the order of their ids.
CREATE FUNCTION workflows_settle_batch(p_results jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_result jsonb;
BEGIN
    FOR v_result IN
        SELECT result FROM jsonb_array_elements(p_results) AS result
        ORDER BY result -> 'settlement' ->> 'workflow_id', result -> 'settlement' ->> 'call_id'
    LOOP
        PERFORM workflows_settle(
            (v_result -> 'settlement' ->> 'workflow_id')::uuid, jsonb_build_array(v_result -> 'settlement'));
        PERFORM gateway_end_batch_request(
            (v_result -> 'settlement' ->> 'call_id')::uuid, v_result ->> 'status');
    END LOOP;
END $$;

-- Makes ready the steps whose calls a batch has ended. A step that runs is told later: it may be about to wait.
CREATE FUNCTION workflows_wake_batched(p_limit int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_ended record;
    v_step workflows_step;
    v_lane record;
    v_woken uuid[] := '{}';
BEGIN
    FOR v_ended IN
        SELECT DISTINCT step_id FROM gateway_batchrequest
        WHERE status IN ('succeeded', 'errored', 'cancelled', 'expired') AND NOT is_told LIMIT p_limit
    LOOP
        SELECT * INTO v_step FROM workflows_step WHERE id = v_ended.step_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            CONTINUE WHEN EXISTS (SELECT 1 FROM workflows_step WHERE id = v_ended.step_id);
        ELSIF v_step.status = 'running' THEN
            CONTINUE;
        ELSIF v_step.status = 'waiting' AND v_step.waiting_for = 'provider_batch' AND NOT EXISTS (
            SELECT 1 FROM gateway_batchrequest
            WHERE step_id = v_step.id AND status IN ('pending', 'submitted')) THEN
            UPDATE workflows_step SET status = 'ready', waiting_for = NULL, run_at = NULL, ready_at = now()
            WHERE id = v_step.id;
            v_woken := v_woken || v_step.id;
        END IF;
        UPDATE gateway_batchrequest SET is_told = true
        WHERE step_id = v_ended.step_id AND NOT is_told
          AND status IN ('succeeded', 'errored', 'cancelled', 'expired');
    END LOOP;
    FOR v_lane IN SELECT DISTINCT queue_id, tenant_id FROM workflows_step WHERE id = ANY (v_woken) LOOP
        PERFORM workflows_mark_lane(v_lane.queue_id, v_lane.tenant_id);
    END LOOP;
    RETURN cardinality(v_woken);
END $$;

-- Withdraws the requests of steps that have ended: cancelled, most of them. Returns how many.
CREATE FUNCTION workflows_withdraw_batched(p_limit int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_request record;
    v_count int := 0;
BEGIN
    FOR v_request IN
        SELECT r.step_id, r.ordinal, r.request_hash
        FROM gateway_batchrequest r LEFT JOIN workflows_step s ON s.id = r.step_id
        WHERE r.status IN ('pending', 'submitted')
          AND (s.id IS NULL OR s.status IN ('succeeded', 'skipped', 'dead', 'cancelled'))
        LIMIT p_limit
    LOOP
        PERFORM gateway_batched_call(v_request.step_id, v_request.ordinal, v_request.request_hash, true);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
