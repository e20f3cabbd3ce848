-- Pauses and holds of nested runs.

-- Starts a run for a step of another, once: a repeated start returns the run that is there, unless an attempt of the
-- step has failed of it. Null where the attempt is not the running one any more, as in a parent that has ended, or the
-- parent lies too deep. It shares its parent's tenant, key and queue, ends with it, and spends what its root may; where
-- its parent is paused it is paused, and goes on with it.
CREATE OR REPLACE FUNCTION workflows_spawn(p_workflow jsonb, p_decision jsonb, p_parent_step uuid) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    v_parent workflows_workflow;
    v_step workflows_step;
    v_id uuid := (p_workflow ->> 'id')::uuid;
    v_known record;
BEGIN
    -- A pause, a cancel or an end of the parent comes before this, which then sees it, or after, and finds the run.
    SELECT w.* INTO v_parent FROM workflows_workflow w
    WHERE w.id = (SELECT workflow_id FROM workflows_step WHERE id = p_parent_step) FOR SHARE;
    -- One at a time for a step: a worker that has lost its lease may be at it as well.
    SELECT * INTO v_step FROM workflows_step WHERE id = p_parent_step FOR NO KEY UPDATE;
    SELECT * INTO v_known FROM workflows_sub_run(p_parent_step);
    IF v_known.workflow_id IS NOT NULL AND NOT v_known.reported THEN
        RETURN v_known.workflow_id;
    END IF;
    IF v_step.status <> 'running' OR v_step.attempt <> coalesce((p_workflow ->> 'attempt')::int, v_step.attempt)
       OR v_parent.depth >= (p_workflow ->> 'max_depth')::int THEN
        RETURN NULL;
    END IF;
    PERFORM workflows_submit(
        p_workflow || jsonb_build_object('api_key_id', v_parent.api_key_id, 'cache_control', v_parent.cache_control),
        p_decision, NULL, '', 0);
    UPDATE workflows_workflow SET
        parent_id = v_parent.id, parent_step_id = p_parent_step, root_id = coalesce(v_parent.root_id, v_parent.id),
        depth = v_parent.depth + 1, deadline_at = least(deadline_at, v_parent.deadline_at)
    WHERE id = v_id;
    IF v_parent.status = 'paused' AND EXISTS (
        SELECT 1 FROM workflows_workflow WHERE id = v_id AND finished_at IS NULL) THEN
        PERFORM workflows_set_status(v_id, 'paused');
    END IF;
    RETURN v_id;
END $$;

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
