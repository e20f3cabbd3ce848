-- Fan-outs that run a few elements at a time, one after another.

-- Stores a decision of the coordinator; its caller holds the lock on the workflow.
-- Returns whether it made any step ready.
CREATE OR REPLACE FUNCTION workflows_apply(p_workflow uuid, p_decision jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_ready boolean := false;
    v_release record;
    v_first int;
BEGIN
    IF jsonb_typeof(p_decision -> 'added') = 'object' THEN
        UPDATE workflows_workflow SET added_steps = added_steps || jsonb_build_array(p_decision -> 'added')
        WHERE id = p_workflow;
        UPDATE workflows_step s SET needs = known.needs
        FROM jsonb_to_recordset(p_decision -> 'needs') AS known(node text, needs text[])
        WHERE s.workflow_id = p_workflow AND s.node = known.node;
    END IF;
    IF jsonb_array_length(p_decision -> 'expand') > 0 THEN
        INSERT INTO workflows_step (
            id, workflow_id, tenant_id, queue_id, node, index, position, status, attempt, agent, tier, label,
            needs, for_each, options, estimated_tokens, timeout_seconds, max_attempts, ready_at, hints)
        SELECT workflows_uuid7(), w.id, w.tenant_id, w.queue_id, e.node,
               CASE WHEN e.for_each IS NULL AND e.is_loop IS NOT TRUE THEN NULL ELSE i END, e.position, e.status, 0, e.agent, e.tier,
               e.label, e.needs, e.for_each, e.options, e.estimated_tokens, e.timeout_seconds,
               e.max_attempts, CASE WHEN e.status = 'ready' THEN now() END, 0
        FROM jsonb_to_recordset(p_decision -> 'expand') AS e(
            node text, count int, status text, position int, agent text, tier text, label text, needs text[],
            for_each text[], options jsonb, estimated_tokens int, timeout_seconds int, max_attempts int,
            first_index int, is_loop boolean)
        CROSS JOIN LATERAL generate_series(coalesce(e.first_index, 0), coalesce(e.first_index, 0) + e.count - 1) AS i
        JOIN workflows_workflow w ON w.id = p_workflow;
        UPDATE workflows_workflow SET fan_out = fan_out || expanded.counts
        FROM (SELECT jsonb_object_agg(e.node, e.count) AS counts
              FROM jsonb_to_recordset(p_decision -> 'expand') AS e(node text, count int, for_each text[])
              WHERE e.for_each IS NOT NULL) AS expanded
        WHERE id = p_workflow AND expanded.counts IS NOT NULL;
        v_ready := p_decision -> 'expand' @> '[{"status": "ready"}]';
    END IF;
    IF jsonb_array_length(p_decision -> 'activate') > 0 THEN
        UPDATE workflows_step SET status = 'ready', ready_at = now()
        WHERE workflow_id = p_workflow AND status = 'blocked'
          AND node IN (SELECT jsonb_array_elements_text(p_decision -> 'activate'));
        v_ready := true;
    END IF;
    FOR v_release IN
        SELECT node, count FROM jsonb_to_recordset(coalesce(p_decision -> 'release', '[]')) AS r(node text, count int)
    LOOP
        -- Elements start in order, so the next one comes after the one that has ended; unless that was a slow one. Those
        -- of another fan-out, which the last element sets free, begin with the first.
        SELECT min(index) INTO v_first FROM (
            SELECT index FROM workflows_step WHERE workflow_id = p_workflow AND node = v_release.node
            AND index > CASE WHEN (p_decision ->> 'commutes')::boolean THEN coalesce((p_decision ->> 'after')::int, -1)
                        ELSE -1 END
            AND status = 'blocked' ORDER BY index LIMIT 1) AS next;
        -- One that was requeued at a rate has a time of its own, and waits for it in its place.
        UPDATE workflows_step SET
            status = CASE WHEN run_at > now() THEN 'waiting' ELSE 'ready' END,
            waiting_for = CASE WHEN run_at > now() THEN 'timer' END,
            run_at = CASE WHEN run_at > now() THEN run_at END, ready_at = now()
        WHERE id IN (
            SELECT id FROM workflows_step WHERE workflow_id = p_workflow AND node = v_release.node
            AND index >= coalesce(v_first, 0) AND status = 'blocked' ORDER BY index LIMIT v_release.count);
        v_ready := v_ready OR FOUND;
    END LOOP;
    IF jsonb_array_length(coalesce(p_decision -> 'omit', '[]')) > 0 THEN
        WITH omitted AS (
            UPDATE workflows_step SET status = 'omitted', finished_at = now()
            WHERE workflow_id = p_workflow AND status = 'blocked'
              AND node IN (SELECT jsonb_array_elements_text(p_decision -> 'omit'))
            RETURNING node, index)
        INSERT INTO workflows_event (workflow_id, kind, data)
        SELECT p_workflow, 'step.status', jsonb_build_object('key', node, 'index', index, 'status', 'omitted')
        FROM omitted;
    END IF;
    IF jsonb_typeof(p_decision -> 'ending') = 'object' THEN
        PERFORM workflows_end(p_workflow, p_decision -> 'ending');
        v_ready := false;
    END IF;
    RETURN v_ready;
END $$;
