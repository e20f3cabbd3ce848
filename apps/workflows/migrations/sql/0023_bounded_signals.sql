-- Sends a signal to a run, or the answer to a step that waits for approval: the first answer wins. Returns sent | ended |
-- answered | not_waiting | full: as many signals as a run keeps wait for a step that takes them.
CREATE OR REPLACE FUNCTION workflows_send_signal(
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
    IF v_step.id IS NULL AND (
        SELECT count(*) FROM workflows_signal WHERE workflow_id = p_workflow AND step_id IS NULL) >= 1000 THEN
        RETURN 'full';
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
