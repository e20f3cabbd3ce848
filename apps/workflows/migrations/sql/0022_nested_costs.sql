-- What runs that steps start may cost together, under locks that are taken in one order: the run that was submitted, then
-- those that its steps have started.

-- Why a call may not be made within its workflow's own limit, or null: that of the run which was submitted, which holds
-- for all that its steps start, too. Calls in flight count at their worst case. What was spent and what is reserved are
-- read at one moment: a nested run that settles a call in between would be in neither.
CREATE OR REPLACE FUNCTION workflows_cost_refusal(p_workflow uuid, p_call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_worst bigint := (p_call ->> 'worst_case_usd_micros')::bigint;
    v_root uuid;
    v_limit bigint;
    v_spent bigint;
    v_reserved bigint;
BEGIN
    SELECT r.id, r.max_cost_usd_micros INTO v_root, v_limit
    FROM workflows_workflow w JOIN workflows_workflow r ON r.id = coalesce(w.root_id, w.id) WHERE w.id = p_workflow;
    IF v_limit IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM workflows_workflow WHERE id = v_root FOR NO KEY UPDATE;
    SELECT (SELECT sum(cost_usd_micros) FROM workflows_workflow WHERE id = v_root OR root_id = v_root),
           (SELECT coalesce(sum(usd_micros), 0) FROM budgets_reservation
            WHERE workflow_id IN (SELECT id FROM workflows_workflow WHERE id = v_root OR root_id = v_root)
              AND call_id <> (p_call ->> 'call_id')::uuid)
    INTO v_spent, v_reserved;
    IF v_worst <= v_limit - v_spent - v_reserved THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object(
        'code', 'max_cost_exceeded', 'room_usd_micros', v_limit - v_spent - v_reserved,
        'in_flight', v_worst <= v_limit - v_spent);
END $$;

-- Settles the step's model calls, then writes a tool call down and reserves its price: one round trip, and durable.
-- Returns null, or why the call must not be made: `stale` where its attempt is not the running one. The lock on the step
-- has a start and the next attempt's claim come one after the other: that one sees what this one has begun.
CREATE OR REPLACE FUNCTION workflows_start_tool_call(p_workflow uuid, p_call jsonb, p_settlements jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_refusal jsonb;
BEGIN
    -- The run that was submitted first, as where a model's call is reserved.
    PERFORM 1 FROM workflows_workflow
    WHERE id = (SELECT root_id FROM workflows_workflow WHERE id = p_workflow) AND max_cost_usd_micros IS NOT NULL
    FOR NO KEY UPDATE;
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
