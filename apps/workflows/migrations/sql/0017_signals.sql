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

-- Sends a signal to a run, or the answer to a step that waits for approval: the first answer wins. Returns sent | ended |
-- answered | not_waiting.
CREATE FUNCTION workflows_send_signal(
    p_workflow uuid, p_kind text, p_name text, p_payload jsonb, p_sender text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_workflow workflows_workflow;
    v_step workflows_step;
BEGIN
    SELECT * INTO v_workflow FROM workflows_workflow WHERE id = p_workflow FOR NO KEY UPDATE;
    IF p_kind = 'approval' AND EXISTS (
        SELECT 1 FROM workflows_signal WHERE workflow_id = p_workflow AND kind = 'approval' AND name = p_name) THEN
        RETURN 'answered';
    END IF;
    IF v_workflow.finished_at IS NOT NULL THEN
        RETURN 'ended';
    END IF;
    SELECT * INTO v_step FROM workflows_step s
    WHERE s.workflow_id = p_workflow AND s.status = 'waiting' AND s.waiting_for = p_kind
      AND workflows_signal_name(s) = p_name
    ORDER BY position, index LIMIT 1 FOR NO KEY UPDATE;
    IF NOT FOUND AND p_kind = 'approval' THEN
        RETURN 'not_waiting';
    END IF;
    INSERT INTO workflows_signal (workflow_id, kind, name, payload, sender)
    VALUES (p_workflow, p_kind, p_name, p_payload, p_sender);
    INSERT INTO workflows_event (workflow_id, kind, data)
    VALUES (p_workflow, 'workflow.signal', jsonb_build_object('kind', p_kind, 'name', p_name, 'sender', p_sender));
    IF v_step.id IS NOT NULL THEN
        UPDATE workflows_step SET status = 'ready', waiting_for = NULL, run_at = NULL, ready_at = now()
        WHERE id = v_step.id;
        IF v_workflow.status = 'paused' THEN
            PERFORM workflows_park(p_workflow);
        ELSE
            PERFORM workflows_mark_lane(v_step.queue_id, v_step.tenant_id);
        END IF;
    END IF;
    RETURN 'sent';
END $$;
