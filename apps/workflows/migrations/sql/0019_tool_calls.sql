-- Tool calls in the life of a step: fenced like its end, charged to its workflow.

-- Settles the step's model calls, then writes a tool call down and reserves its price: one round trip, and durable.
-- Returns null, or why the call must not be made: `stale` where its attempt is not the running one. The lock on the step
-- has a start and the next attempt's claim come one after the other: that one sees what this one has begun.
CREATE FUNCTION workflows_start_tool_call(p_workflow uuid, p_call jsonb, p_settlements jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_refusal jsonb;
BEGIN
    PERFORM 1 FROM workflows_workflow WHERE id = p_workflow FOR NO KEY UPDATE;
    IF p_settlements <> '[]' THEN
        PERFORM workflows_settle(p_workflow, p_settlements);
    END IF;
    PERFORM 1 FROM workflows_step
    WHERE id = (p_call ->> 'step_id')::uuid AND attempt = (p_call ->> 'attempt')::int AND status = 'running'
    FOR SHARE;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('code', 'stale');
    END IF;
    IF (p_call ->> 'price_usd_micros')::bigint > 0 THEN
        v_refusal := workflows_cost_refusal(p_workflow, jsonb_build_object(
            'call_id', p_call -> 'call_id', 'worst_case_usd_micros', p_call -> 'price_usd_micros'));
    END IF;
    RETURN coalesce(v_refusal, tools_start_call(p_call));
END $$;

-- Writes how a tool call ended, and charges its workflow; settles the step's model calls with it.
CREATE FUNCTION workflows_end_tool_call(p_workflow uuid, p_ended jsonb, p_settlements jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_cost bigint;
BEGIN
    IF p_settlements <> '[]' OR (p_ended ->> 'price_usd_micros')::bigint > 0 THEN
        PERFORM 1 FROM workflows_workflow WHERE id = p_workflow FOR NO KEY UPDATE;
    END IF;
    IF p_settlements <> '[]' THEN
        PERFORM workflows_settle(p_workflow, p_settlements);
    END IF;
    v_cost := tools_end_call(p_ended);
    IF v_cost <> 0 THEN
        UPDATE workflows_workflow SET cost_usd_micros = cost_usd_micros + v_cost WHERE id = p_workflow;
    END IF;
END $$;

-- The tool calls of a step's earlier attempts; those that were begun and not ended are given up first.
CREATE FUNCTION workflows_tool_calls_before(p_step uuid, p_attempt int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_calls uuid[];
BEGIN
    SELECT array_agg(id) INTO v_calls FROM tools_toolcall
    WHERE step_id = p_step AND attempt < p_attempt AND status = 'started';
    IF v_calls IS NOT NULL THEN
        PERFORM workflows_give_up_calls(v_calls, 'worker_lost');
    END IF;
    RETURN tools_calls_before(p_step, p_attempt);
END $$;

-- Calls of models and of tools that nobody will come back from, as far as is known: they and their workflows are charged
-- the worst case.
CREATE OR REPLACE FUNCTION workflows_give_up_calls(p_calls uuid[], p_code text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_workflow record;
    v_cost bigint;
BEGIN
    PERFORM 1 FROM workflows_workflow WHERE id IN (
        SELECT workflow_id FROM gateway_call WHERE id = ANY (p_calls)
        UNION SELECT workflow_id FROM tools_toolcall WHERE id = ANY (p_calls)) ORDER BY id FOR NO KEY UPDATE;
    PERFORM budgets_lock(p_calls);
    FOR v_workflow IN
        SELECT workflow_id AS id, array_agg(found.id) AS calls FROM (
            SELECT id, workflow_id FROM gateway_call WHERE id = ANY (p_calls)
            UNION ALL SELECT id, workflow_id FROM tools_toolcall WHERE id = ANY (p_calls)) AS found
        GROUP BY 1
    LOOP
        v_cost := gateway_give_up_calls(v_workflow.calls, p_code) + tools_give_up_calls(v_workflow.calls, p_code);
        UPDATE workflows_workflow SET cost_usd_micros = cost_usd_micros + v_cost WHERE id = v_workflow.id;
    END LOOP;
END $$;

-- Tool calls of attempts that nobody runs any longer. Those that cost are given up with their reservation; the others
-- here. Returns how many.
CREATE FUNCTION workflows_sweep_tool_calls(p_grace_seconds float, p_limit int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_calls uuid[];
BEGIN
    SELECT coalesce(array_agg(found.id), '{}') INTO v_calls FROM (
        SELECT c.id FROM tools_toolcall c
        LEFT JOIN workflows_step s ON s.id = c.step_id AND s.attempt = c.attempt AND s.status = 'running'
        WHERE c.status = 'started' AND s.id IS NULL AND c.started_at < now() - p_grace_seconds * interval '1 second'
        ORDER BY c.started_at LIMIT p_limit) AS found;
    IF v_calls <> '{}' THEN
        PERFORM workflows_give_up_calls(v_calls, 'worker_lost');
    END IF;
    RETURN cardinality(v_calls);
END $$;
