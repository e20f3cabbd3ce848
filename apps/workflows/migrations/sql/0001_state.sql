-- A UUID version 7 (RFC 9562): steps made together stand together in their index.
CREATE FUNCTION workflows_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(
        set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- What the reducer needs to know of a run (agentplatform.workflows.coordinator.WorkflowState).
CREATE FUNCTION workflows_state(p_workflow uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'status', w.status, 'revision', w.revision, 'definition_id', w.definition_id, 'fan_out', w.fan_out,
        'seconds_left', extract(epoch FROM w.deadline_at - now()),
        'counts', (
            SELECT coalesce(jsonb_object_agg(node, statuses), '{}') FROM (
                SELECT node, jsonb_object_agg(status, steps) AS statuses FROM (
                    SELECT node, status, count(*) AS steps FROM workflows_step
                    WHERE workflow_id = p_workflow GROUP BY node, status) AS by_status
                GROUP BY node) AS by_node))
    FROM workflows_workflow w WHERE w.id = p_workflow
$$;

-- The output of a node: of its one step, or of all its elements in order (null where one has none). A node
-- without steps is a fan-out over an empty list.
CREATE FUNCTION workflows_node_output(p_workflow uuid, p_node text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN count(*) = 0 THEN '[]'
                WHEN bool_or(s.index IS NOT NULL)
                THEN jsonb_agg(coalesce(s.output, 'null') ORDER BY s.index)
                ELSE (array_agg(s.output))[1] END
    FROM workflows_step s
    WHERE s.workflow_id = p_workflow AND s.node = p_node
$$;

-- Marks the tenant's lane as one that has steps to admit. Writes (and locks) only when it was not marked.
CREATE FUNCTION workflows_mark_lane(p_queue text, p_tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM workflows_lane
                   WHERE queue_id = p_queue AND tenant_id = p_tenant AND backlogged) THEN
        INSERT INTO workflows_lane AS lane (queue_id, tenant_id, virtual_time, backlogged)
        VALUES (p_queue, p_tenant, 0, true)
        ON CONFLICT (queue_id, tenant_id) DO UPDATE SET backlogged = true WHERE NOT lane.backlogged;
    END IF;
END $$;

-- Ends a run: everything unfinished is cancelled, results are gathered.
CREATE FUNCTION workflows_end(p_workflow uuid, p_ending jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_results jsonb := p_ending -> 'results';
    v_result jsonb;
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
        finished_at = now()
    WHERE id = p_workflow;
    INSERT INTO workflows_event (workflow_id, kind, data)
    VALUES (p_workflow, 'workflow.status', jsonb_build_object('status', p_ending ->> 'status'));
END $$;

-- Stores a decision of the coordinator; its caller holds the lock on the workflow.
-- Returns whether it made any step ready.
CREATE FUNCTION workflows_apply(p_workflow uuid, p_decision jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_ready boolean := false;
BEGIN
    IF jsonb_array_length(p_decision -> 'expand') > 0 THEN
        INSERT INTO workflows_step (
            id, workflow_id, tenant_id, queue_id, node, index, position, status, attempt, agent, tier, label,
            needs, for_each, options, estimated_tokens, timeout_seconds, max_attempts, ready_at, hints)
        SELECT workflows_uuid7(), w.id, w.tenant_id, w.queue_id, e.node,
               CASE WHEN e.for_each IS NULL THEN NULL ELSE i END, e.position, e.status, 0, e.agent, e.tier,
               e.label, e.needs, e.for_each, e.options, e.estimated_tokens, e.timeout_seconds,
               e.max_attempts, CASE WHEN e.status = 'ready' THEN now() END, 0
        FROM jsonb_to_recordset(p_decision -> 'expand') AS e(
            node text, count int, status text, position int, agent text, tier text, label text, needs text[],
            for_each text[], options jsonb, estimated_tokens int, timeout_seconds int, max_attempts int)
        CROSS JOIN LATERAL generate_series(0, e.count - 1) AS i
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
    IF jsonb_typeof(p_decision -> 'ending') = 'object' THEN
        PERFORM workflows_end(p_workflow, p_decision -> 'ending');
        v_ready := false;
    END IF;
    RETURN v_ready;
END $$;
