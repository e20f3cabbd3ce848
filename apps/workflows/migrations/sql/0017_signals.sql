-- Signals to runs, and approvals.

-- Under which name a step finds what it waits for: an approval by its own key, a signal by the name in its options.
CREATE FUNCTION workflows_signal_name(p_step workflows_step) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_step.options ? 'approval' THEN workflows_key(p_step.node, p_step.index)
                ELSE p_step.options ->> 'signal' END
$$;

-- Hands a step the signal that it waits for: the first that nobody has taken, and the same one on every attempt.
CREATE FUNCTION workflows_take_signal(p_step workflows_step) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_signal workflows_signal;
BEGIN
    UPDATE workflows_signal SET step_id = p_step.id WHERE id = (
        SELECT id FROM workflows_signal
        WHERE workflow_id = p_step.workflow_id AND name = workflows_signal_name(p_step)
          AND kind = CASE WHEN p_step.options ? 'approval' THEN 'approval' ELSE 'signal' END
          AND (step_id IS NULL OR step_id = p_step.id)
        ORDER BY step_id IS NULL, id LIMIT 1)
    RETURNING * INTO v_signal;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object('payload', v_signal.payload, 'sender', v_signal.sender, 'sent_at', v_signal.created_at);
END $$;

-- A step has begun to wait for somebody: those who want to know are told. Returns its status: ready where what it waits
-- for is there already. The caller holds the lock on the workflow, as does who sends a signal.
CREATE FUNCTION workflows_await(p_workflow workflows_workflow, p_step workflows_step) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM workflows_signal
        WHERE workflow_id = p_workflow.id AND kind = p_step.waiting_for AND name = workflows_signal_name(p_step)
          AND (step_id IS NULL OR step_id = p_step.id)) THEN
        UPDATE workflows_step SET status = 'ready', waiting_for = NULL, run_at = NULL, ready_at = now()
        WHERE id = p_step.id;
        RETURN 'ready';
    END IF;
    IF p_step.waiting_for = 'approval' THEN
        PERFORM notifications_emit(
            p_workflow.tenant_id, 'workflow.approval_requested', jsonb_build_object(
                'workflow_id', p_workflow.id, 'step', workflows_key(p_step.node, p_step.index),
                'expires_at', p_step.run_at));
    END IF;
    RETURN 'waiting';
END $$;
