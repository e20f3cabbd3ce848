-- Ends a run: everything unfinished is cancelled, results are gathered, and webhooks that want to know are written.
CREATE OR REPLACE FUNCTION workflows_end(p_workflow uuid, p_ending jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_results jsonb := p_ending -> 'results';
    v_result jsonb;
    v_tenant uuid;
BEGIN
    INSERT INTO workflows_stepattempt (
        step_id, attempt, outcome, worker, error_code, error_message, traceback, started_at)
    SELECT id, attempt, 'cancelled', worker, '', '', '', started_at
    FROM workflows_step WHERE workflow_id = p_workflow AND status = 'running';
    WITH cancelled AS (
        UPDATE workflows_step
        SET status = 'cancelled', finished_at = now(), waiting_for = NULL, run_at = NULL,
            lease_expires_at = NULL
        WHERE workflow_id = p_workflow
          AND status IN ('blocked', 'ready', 'dispatched', 'running', 'waiting')
        RETURNING node, index)
    INSERT INTO workflows_event (workflow_id, kind, data)
    SELECT p_workflow, 'step.status', jsonb_build_object('key', node, 'index', index, 'status', 'cancelled')
    FROM cancelled;
    IF jsonb_array_length(v_results) = 1 AND v_results -> 0 = p_ending -> 'result_node' THEN
        v_result := workflows_node_output(p_workflow, v_results ->> 0);
    ELSIF jsonb_array_length(v_results) > 0 THEN
        SELECT jsonb_object_agg(node, workflows_node_output(p_workflow, node)) INTO v_result
        FROM jsonb_array_elements_text(v_results) AS node;
    END IF;
    UPDATE workflows_workflow
    SET status = p_ending ->> 'status', result = v_result, error = nullif(p_ending -> 'error', 'null'),
        degradations = degradations || coalesce(p_ending -> 'degradations', '[]'), finished_at = now()
    WHERE id = p_workflow RETURNING tenant_id INTO v_tenant;
    INSERT INTO workflows_event (workflow_id, kind, data)
    VALUES (p_workflow, 'workflow.status', jsonb_build_object('status', p_ending ->> 'status'));
    PERFORM notifications_emit(
        v_tenant, 'workflow.finished',
        jsonb_build_object('workflow_id', p_workflow, 'status', p_ending ->> 'status'));
END $$;

-- Completes a webhook of a workflow's end with what is known only when its transaction commits: the finish that ends a
-- run adds the cost and the degradations of its last step afterwards. No input, no output.
CREATE FUNCTION workflows_complete_finished() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE notifications_delivery
    SET data = NEW.data || jsonb_build_object(
        'type', d.type, 'error_code', w.error -> 'code', 'cost_usd_micros', w.cost_usd_micros,
        'degradations', (
            SELECT coalesce(jsonb_agg(DISTINCT told -> 'code'), '[]')
            FROM jsonb_array_elements(w.degradations) AS told),
        'created_at', w.created_at, 'finished_at', w.finished_at,
        'status_url', '/api/v1/workflows/' || w.id || '/',
        'events_url', '/api/v1/workflows/' || w.id || '/events/')
    FROM workflows_workflow w JOIN workflows_workflowdefinition d ON d.id = w.definition_id
    WHERE notifications_delivery.id = NEW.id AND w.id = (NEW.data ->> 'workflow_id')::uuid;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER workflows_complete_finished AFTER INSERT ON notifications_delivery
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.event_type = 'workflow.finished')
    EXECUTE FUNCTION workflows_complete_finished();
