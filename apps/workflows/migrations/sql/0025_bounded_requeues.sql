-- Requeues of elements of fan-outs that run a few at a time.

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
        -- Elements start in order, so the next one comes after the one that has ended; unless that was a slow one.
        SELECT min(index) INTO v_first FROM (
            SELECT index FROM workflows_step WHERE workflow_id = p_workflow AND node = v_release.node
            AND index > coalesce((p_decision ->> 'after')::int, -1) AND status = 'blocked' ORDER BY index LIMIT 1) AS next;
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

-- Stores a decision to go on from steps that gave up (agentplatform.workflows.requeueing); the caller holds the lock
-- on the workflow. `p_steps` are [{id, delay_seconds}]. An ended run gets `p_deadline_seconds` from now on; what it
-- has cost stays. Every step that is to run again has as many attempts as it had at first. Those of the nodes in
-- `line_up` are blocked, with their time in `run_at`, until there is room: the caller stores what starts of them.
-- Returns how many letters it has settled: those of every step that is to run again.
CREATE OR REPLACE FUNCTION workflows_requeue(
    p_workflow uuid, p_decision jsonb, p_steps jsonb, p_deadline_seconds float, p_input jsonb, p_operation uuid)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_workflow workflows_workflow;
    v_block text[] := ARRAY(SELECT jsonb_array_elements_text(p_decision -> 'block'));
    v_withdraw text[] := ARRAY(SELECT jsonb_array_elements_text(p_decision -> 'withdraw'));
    v_activate text[] := ARRAY(SELECT jsonb_array_elements_text(p_decision -> 'activate'));
    v_line_up text[] := ARRAY(SELECT jsonb_array_elements_text(coalesce(p_decision -> 'line_up', '[]')));
    v_again uuid[];
    v_keys text[];
    v_withdrawn uuid[];
    v_withdrawn_keys text[];
    v_letters int;
BEGIN
    SELECT * INTO v_workflow FROM workflows_workflow WHERE id = p_workflow;
    WITH withdrawn AS (
        DELETE FROM workflows_step WHERE workflow_id = p_workflow AND node = ANY (v_withdraw)
        RETURNING id, workflows_key(node, index) AS key)
    SELECT coalesce(array_agg(id), '{}'), coalesce(array_agg(key), '{}') INTO v_withdrawn, v_withdrawn_keys
    FROM withdrawn;
    WITH again AS (
        UPDATE workflows_step s SET
            status = CASE WHEN s.node = ANY (v_block || v_line_up) OR s.status = 'cancelled' THEN 'blocked'
                          WHEN asked.delay_seconds > 0 THEN 'waiting' ELSE 'ready' END,
            waiting_for = CASE WHEN s.status <> 'cancelled' AND s.node <> ALL (v_block || v_line_up)
                               AND asked.delay_seconds > 0 THEN 'timer' END,
            run_at = CASE WHEN s.status <> 'cancelled' AND s.node <> ALL (v_block) AND asked.delay_seconds > 0
                     THEN now() + asked.delay_seconds * interval '1 second' END,
            max_attempts = s.attempt + s.max_attempts - s.attempts_before, attempts_before = s.attempt,
            output = NULL, finished_at = NULL, started_at = NULL, worker = NULL, hints = 0,
            ready_at = CASE WHEN s.status <> 'cancelled' AND s.node <> ALL (v_block || v_line_up) THEN now() END
        FROM workflows_step known LEFT JOIN jsonb_to_recordset(p_steps) AS asked(id uuid, delay_seconds float)
          ON asked.id = known.id
        WHERE s.id = known.id AND known.workflow_id = p_workflow
          AND (known.node = ANY (v_block) OR known.status = 'cancelled'
               OR asked.id IS NOT NULL AND known.status IN ('dead', 'skipped'))
        RETURNING s.id, workflows_key(s.node, s.index) AS key)
    SELECT coalesce(array_agg(id), '{}'), coalesce(array_agg(key), '{}') INTO v_again, v_keys FROM again;
    UPDATE workflows_step SET status = 'ready', ready_at = now()
    WHERE workflow_id = p_workflow AND status = 'blocked' AND node = ANY (v_activate);
    UPDATE workflows_workflow w SET
        status = CASE WHEN w.finished_at IS NULL THEN w.status ELSE 'running' END,
        deadline_at = CASE WHEN w.finished_at IS NULL THEN w.deadline_at
                      ELSE now() + p_deadline_seconds * interval '1 second' END,
        finished_at = NULL, result = NULL, error = NULL, revision = w.revision + 1,
        input = coalesce(p_input, w.input), fan_out = w.fan_out - v_withdraw,
        degradations = coalesce((
            SELECT jsonb_agg(told) FROM jsonb_array_elements(w.degradations) AS told
            WHERE told ->> 'code' <> 'step_missing'
              AND coalesce(told ->> 'step', '') <> ALL (v_keys || v_withdrawn_keys)), '[]')
    WHERE w.id = p_workflow;
    UPDATE workflows_deadletter SET status = 'requeued', resolved_at = now(), operation_id = p_operation
    WHERE workflow_id = p_workflow AND status = 'open' AND step_id = ANY (v_again || v_withdrawn);
    GET DIAGNOSTICS v_letters = ROW_COUNT;
    INSERT INTO workflows_event (workflow_id, kind, data)
    SELECT p_workflow, 'workflow.status', jsonb_build_object('status', w.status, 'requeued', (
        SELECT coalesce(jsonb_agg(workflows_key(s.node, s.index)), '[]') FROM workflows_step s
        JOIN jsonb_to_recordset(p_steps) AS asked(id uuid) ON asked.id = s.id))
    FROM workflows_workflow w WHERE w.id = p_workflow;
    INSERT INTO workflows_event (workflow_id, kind, data)
    SELECT p_workflow, 'step.status', jsonb_build_object('key', node, 'index', index, 'status', status)
    FROM workflows_step WHERE id = ANY (v_again) ORDER BY position, index;
    IF v_workflow.status = 'paused' THEN
        PERFORM workflows_park(p_workflow);
    ELSIF EXISTS (SELECT 1 FROM workflows_step WHERE workflow_id = p_workflow AND status = 'ready') THEN
        PERFORM workflows_mark_lane(v_workflow.queue_id, v_workflow.tenant_id);
    END IF;
    RETURN v_letters;
END $$;
