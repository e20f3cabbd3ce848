-- Runs that steps start, replays, and what they may cost.

-- Starts a run for a step of another, once: a repeated start returns the run that is there, unless an attempt of the
-- step has failed of it. Null where the attempt is not the running one any more, as in a parent that has ended, or the
-- parent lies too deep. It shares its parent's tenant, key and queue, ends with it, and spends what its root may; where
-- its parent is paused it is paused, and goes on with it.
CREATE FUNCTION workflows_spawn(p_workflow jsonb, p_decision jsonb, p_parent_step uuid) RETURNS uuid
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

-- The run that a step has started last. `reported`: an attempt of the step has failed since that run ended.
CREATE FUNCTION workflows_sub_run(p_parent_step uuid)
RETURNS TABLE (workflow_id uuid, status text, result jsonb, error jsonb, reported boolean) LANGUAGE sql STABLE AS $$
    SELECT w.id, w.status, w.result, w.error, w.finished_at IS NOT NULL AND EXISTS (
        SELECT 1 FROM workflows_stepattempt a
        WHERE a.step_id = p_parent_step AND a.outcome <> 'waited' AND a.finished_at > w.finished_at)
    FROM workflows_workflow w WHERE w.parent_step_id = p_parent_step ORDER BY w.id DESC LIMIT 1
$$;

-- Ends a run: everything unfinished is cancelled, results are gathered, webhooks that want to know are written, and the
-- step that has started it goes on. That one's run is not locked: nobody who holds it waits for this one.
CREATE OR REPLACE FUNCTION workflows_end(p_workflow uuid, p_ending jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_results jsonb := p_ending -> 'results';
    v_result jsonb;
    v_tenant uuid;
    v_parent_step uuid;
    v_queue text;
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
    WHERE id = p_workflow RETURNING tenant_id, parent_step_id INTO v_tenant, v_parent_step;
    INSERT INTO workflows_event (workflow_id, kind, data)
    VALUES (p_workflow, 'workflow.status', jsonb_build_object('status', p_ending ->> 'status'));
    PERFORM notifications_emit(
        v_tenant, 'workflow.finished',
        jsonb_build_object('workflow_id', p_workflow, 'status', p_ending ->> 'status'));
    IF v_parent_step IS NOT NULL THEN
        UPDATE workflows_step SET status = 'ready', waiting_for = NULL, run_at = NULL, ready_at = now()
        WHERE id = v_parent_step AND status = 'waiting' AND waiting_for = 'workflow' RETURNING queue_id INTO v_queue;
        IF FOUND THEN
            PERFORM workflows_mark_lane(v_queue, v_tenant);
        END IF;
    END IF;
END $$;

-- Steps whose run ended before they had begun to wait go on; runs whose parent has ended are to be cancelled. Returns how many steps were made
-- ready, and which runs are orphans.
CREATE FUNCTION workflows_wake_parents(p_limit int, OUT woken int, OUT orphans uuid[]) LANGUAGE plpgsql AS $$
DECLARE
    v_lane record;
BEGIN
    woken := 0;
    FOR v_lane IN
        WITH due AS (
            SELECT s.id FROM workflows_step s
            WHERE s.status = 'waiting' AND s.waiting_for = 'workflow' AND NOT EXISTS (
                SELECT 1 FROM workflows_workflow w WHERE w.parent_step_id = s.id AND w.finished_at IS NULL)
            LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED),
        ready AS (
            UPDATE workflows_step s SET status = 'ready', waiting_for = NULL, run_at = NULL, ready_at = now()
            FROM due WHERE s.id = due.id RETURNING s.queue_id, s.tenant_id)
        SELECT queue_id, tenant_id, count(*) AS steps FROM ready GROUP BY 1, 2
    LOOP
        PERFORM workflows_mark_lane(v_lane.queue_id, v_lane.tenant_id);
        woken := woken + v_lane.steps;
    END LOOP;
    SELECT coalesce(array_agg(found.id), '{}') INTO orphans FROM (
        SELECT w.id FROM workflows_workflow w JOIN workflows_workflow p ON p.id = w.parent_id
        WHERE w.parent_id IS NOT NULL AND w.finished_at IS NULL AND p.finished_at IS NOT NULL LIMIT p_limit) AS found;
END $$;

-- Starts a run that keeps the outputs that the nodes in `p_kept` of `p_source` have, and runs the others. Asked again
-- with the same idempotency key, it is the first run.
CREATE FUNCTION workflows_replay(
    p_workflow jsonb, p_decision jsonb, p_source uuid, p_kept text[], p_key text, p_body_hash text, p_key_hours int)
RETURNS TABLE (workflow_id uuid, is_new boolean, is_same boolean) LANGUAGE plpgsql AS $$
DECLARE
    v_run record;
BEGIN
    SELECT * INTO v_run FROM workflows_submit(p_workflow, p_decision, p_key, p_body_hash, p_key_hours);
    IF v_run.is_new THEN
        INSERT INTO workflows_step (
            id, workflow_id, tenant_id, queue_id, node, index, position, status, attempt, agent, tier, label, needs,
            for_each, options, estimated_tokens, timeout_seconds, max_attempts, hints, finished_at, output)
        SELECT workflows_uuid7(), v_run.workflow_id, s.tenant_id, p_workflow ->> 'queue', s.node, s.index, s.position,
               s.status, 0, s.agent, s.tier, s.label, s.needs, s.for_each, s.options, s.estimated_tokens,
               s.timeout_seconds, s.max_attempts, 0, s.finished_at, s.output
        FROM workflows_step s WHERE s.workflow_id = p_source AND s.node = ANY (p_kept);
        UPDATE workflows_workflow w SET
            source_id = p_source, added_steps = coalesce(p_workflow -> 'added_steps', '[]'),
            fan_out = w.fan_out || coalesce((
                SELECT jsonb_object_agg(key, value) FROM jsonb_each(s.fan_out) WHERE key = ANY (p_kept)), '{}')
        FROM workflows_workflow s WHERE w.id = v_run.workflow_id AND s.id = p_source;
    END IF;
    RETURN QUERY SELECT v_run.workflow_id, v_run.is_new, v_run.is_same;
END $$;

-- Settles earlier calls of the step, then reserves for the next one and writes it down: one round trip a call. Returns
-- null, or why it must not be made. What was settled has been paid for and is flushed; a start is not, unless it was
-- taken straight from a window.
CREATE OR REPLACE FUNCTION workflows_reserve_call(p_workflow uuid, p_call jsonb, p_settlements jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    -- The run that was submitted before those that its steps have started, as where several are settled at once.
    PERFORM 1 FROM workflows_workflow
    WHERE id = (SELECT root_id FROM workflows_workflow WHERE id = p_workflow) AND max_cost_usd_micros IS NOT NULL
    FOR NO KEY UPDATE;
    IF p_settlements <> '[]' THEN
        PERFORM workflows_settle(p_workflow, p_settlements);
    ELSE
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN coalesce(workflows_cost_refusal(p_workflow, p_call), gateway_reserve_call(p_call));
END $$;

-- Webhooks tell tenants of the ends of runs that were submitted, not of those within them, nor of those that the
-- platform starts for them.
CREATE OR REPLACE FUNCTION workflows_leave_out_internal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM workflows_workflow w JOIN workflows_workflowdefinition d ON d.id = w.definition_id
        WHERE w.id = (NEW.data ->> 'workflow_id')::uuid
          AND (d.is_internal OR w.parent_id IS NOT NULL AND NEW.event_type = 'workflow.finished')) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
