-- Pauses and holds.

-- Pauses or resumes a run; one that still waits for budget is held again. Returns whether it made any step ready.
CREATE OR REPLACE FUNCTION workflows_set_status(p_workflow uuid, p_status text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_ready boolean := false;
BEGIN
    UPDATE workflows_workflow SET status = p_status WHERE id = p_workflow;
    INSERT INTO workflows_event (workflow_id, kind, data)
    VALUES (p_workflow, 'workflow.status', jsonb_build_object('status', p_status));
    IF p_status = 'paused' THEN
        PERFORM workflows_park(p_workflow);
    ELSE
        UPDATE workflows_step SET status = 'ready', waiting_for = NULL, ready_at = now()
        WHERE workflow_id = p_workflow AND status = 'waiting' AND waiting_for = 'resume';
        v_ready := FOUND;
        PERFORM workflows_review_hold(p_workflow);
    END IF;
    RETURN v_ready;
END $$;
