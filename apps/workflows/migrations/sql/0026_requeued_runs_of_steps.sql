-- Requeues: elements start as there is room for them, and of nested runs those that ended badly count no more.

-- The run that a step has started last. `reported`: it has ended, and counts no more. It ended badly, and an attempt of the
-- step has failed since then; or the step was made to begin anew. A worker that was lost with what it had found has told
-- nobody, and a result is never paid for twice.
CREATE OR REPLACE FUNCTION workflows_sub_run(p_parent_step uuid)
RETURNS TABLE (workflow_id uuid, status text, result jsonb, error jsonb, reported boolean) LANGUAGE sql STABLE AS $$
    SELECT w.id, w.status, w.result, w.error, w.finished_at IS NOT NULL AND (
        w.status IN ('failed', 'cancelled') AND EXISTS (
            SELECT 1 FROM workflows_stepattempt a
            WHERE a.step_id = p_parent_step AND a.outcome NOT IN ('waited', 'lost') AND a.finished_at > w.finished_at)
        OR EXISTS (SELECT 1 FROM workflows_step s WHERE s.id = p_parent_step AND s.restarted_at > w.finished_at))
    FROM workflows_workflow w WHERE w.parent_step_id = p_parent_step ORDER BY w.id DESC LIMIT 1
$$;

-- Stores a decision to go on from steps that gave up (agentplatform.workflows.requeueing); the caller holds the lock
-- on the workflow. `p_steps` are [{id, delay_seconds}]. An ended run gets `p_deadline_seconds` from now on; what it
-- has cost stays. Every step that is to run again has as many attempts as it had at first. Those of the nodes in
-- `line_up` are blocked, with their time in `run_at`, until there is room: the caller stores what starts of them.
-- Of the runs that they had started one that still runs, or has ended well, remains theirs; not so those of the nodes in
-- `block`, which had been told less.
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
            restarted_at = CASE
                WHEN s.node = ANY (v_block)
                     OR (SELECT run.status FROM workflows_sub_run(s.id) AS run) IN ('failed', 'cancelled')
                THEN clock_timestamp() ELSE s.restarted_at END,
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
