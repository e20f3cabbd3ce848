-- Conditions, loops, fan-outs that run a few elements at a time, and steps added at run time.

-- What the reducer needs to know of a run (agentplatform.workflows.coordinator.WorkflowState).
CREATE OR REPLACE FUNCTION workflows_state(p_workflow uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'status', w.status, 'revision', w.revision, 'definition_id', w.definition_id, 'fan_out', w.fan_out,
        'added', w.added_steps,
        'seconds_left', extract(epoch FROM w.deadline_at - now()),
        'counts', (
            SELECT coalesce(jsonb_object_agg(node, statuses), '{}') FROM (
                SELECT node, jsonb_object_agg(status, steps) AS statuses FROM (
                    SELECT node, status, count(*) AS steps FROM workflows_step
                    WHERE workflow_id = p_workflow GROUP BY node, status) AS by_status
                GROUP BY node) AS by_node))
    FROM workflows_workflow w WHERE w.id = p_workflow
$$;

-- The output of a node: of its one step, of the last iteration of a loop, or of all the elements of a fan-out in order
-- (null where one has none). A node without steps is a fan-out over an empty list.
CREATE OR REPLACE FUNCTION workflows_node_output(p_workflow uuid, p_node text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN count(*) = 0 THEN '[]'
                WHEN bool_or(s.for_each IS NOT NULL)
                THEN jsonb_agg(coalesce(s.output, 'null') ORDER BY s.index)
                ELSE (array_agg(s.output ORDER BY s.index DESC) FILTER (WHERE s.output IS NOT NULL))[1] END
    FROM workflows_step s
    WHERE s.workflow_id = p_workflow AND s.node = p_node
$$;

-- Whether a step of the same node as this one has not ended yet. Elements start in order, so the last ones are looked at
-- first.
CREATE FUNCTION workflows_others_unfinished(p_step uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_step workflows_step;
BEGIN
    SELECT * INTO v_step FROM workflows_step WHERE id = p_step;
    PERFORM 1 FROM workflows_step
    WHERE workflow_id = v_step.workflow_id AND node = v_step.node AND id <> p_step
      AND status IN ('blocked', 'ready', 'dispatched', 'running', 'waiting')
    ORDER BY index DESC LIMIT 1;
    RETURN FOUND;
END $$;

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

-- Takes a step for a worker: the attempt grows by one and is its fencing token from here on. The caller holds
-- the lock on the workflow. Returns all that an agent needs, or null when the step was not there to be taken.
-- `p_known` is a node whose output the worker has in hand, having just made it.
CREATE OR REPLACE FUNCTION workflows_take(
    p_workflow workflows_workflow, p_step uuid, p_attempt int, p_from text, p_worker text,
    p_lease_seconds float, p_known text)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_step workflows_step;
    v_ended jsonb;
    v_signal jsonb;
BEGIN
    UPDATE workflows_step
    SET status = 'running', attempt = p_attempt, worker = p_worker, started_at = now(),
        ready_at = coalesce(ready_at, now()),
        lease_expires_at = now() + p_lease_seconds * interval '1 second',
        deadline_at = least(p_workflow.deadline_at, now() + timeout_seconds * interval '1 second')
    WHERE id = p_step AND attempt = p_attempt - 1 AND status = p_from
    RETURNING * INTO v_step;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF p_attempt > 1 THEN
        -- The attempts since it was last requeued that say nothing against the step.
        SELECT jsonb_build_object('lost', count(*) FILTER (WHERE outcome = 'lost'),
                                  'waited', count(*) FILTER (WHERE outcome = 'waited'),
                                  'waited_seconds', extract(epoch FROM now() - min(finished_at) FILTER (
                                      WHERE outcome = 'waited')))
        INTO v_ended FROM workflows_stepattempt
        WHERE step_id = v_step.id AND attempt > v_step.attempts_before;
    END IF;
    IF v_step.options ?| ARRAY['signal', 'approval'] THEN
        v_signal := workflows_take_signal(v_step);
    END IF;
    RETURN jsonb_build_object(
        'step_id', v_step.id, 'attempt', p_attempt, 'node', v_step.node, 'index', v_step.index,
        'agent', v_step.agent, 'tier', v_step.tier, 'label', v_step.label, 'options', v_step.options,
        'max_attempts', v_step.max_attempts, 'queue', v_step.queue_id,
        'attempts_before', v_step.attempts_before,
        'lost_workers', coalesce((v_ended ->> 'lost')::int, 0), 'waits', coalesce((v_ended ->> 'waited')::int, 0),
        'seconds_left', extract(epoch FROM v_step.deadline_at - now()),
        'workflow_seconds_left', extract(epoch FROM p_workflow.deadline_at - now()),
        'cache_control', p_workflow.cache_control, 'session_id', p_workflow.session_id,
        'signal', v_signal, 'waited_seconds_ago', v_ended -> 'waited_seconds',
        'previous', CASE WHEN v_step.for_each IS NULL AND v_step.index > 0 THEN (
            SELECT output FROM workflows_step
            WHERE workflow_id = p_workflow.id AND node = v_step.node AND index = v_step.index - 1) END,
        'waited_seconds', greatest(0, extract(epoch FROM now() - v_step.ready_at)),
        'item', CASE
            WHEN v_step.for_each IS NULL THEN NULL
            WHEN v_step.for_each[1] = 'input' THEN p_workflow.input #> v_step.for_each[2:] -> v_step.index
            ELSE (workflows_node_output(p_workflow.id, v_step.for_each[1]) #> v_step.for_each[2:]) -> v_step.index
        END,
        'needs', CASE WHEN v_step.needs <@ ARRAY[p_known]::varchar[] THEN '{}' ELSE (
            SELECT jsonb_object_agg(need, workflows_node_output(p_workflow.id, need))
            FROM unnest(v_step.needs) AS need WHERE need IS DISTINCT FROM p_known) END,
        'journal', CASE WHEN p_attempt > 1 THEN gateway_settled_calls(v_step.id) ELSE '[]' END);
END $$;

-- Ends an attempt: its outcome, its last settlements, the coordinator's decision and, if admission grants it,
-- the claim of the workflow's next step, in one transaction and one round trip. A step that gave up leaves its
-- dead letter in the same transaction.
--
-- Fenced by (step, attempt, running): a worker that lost its lease changes neither state nor result; what it
-- spent is settled all the same. `p_reap` is for an attempt that its worker did not end: it holds only once the
-- lease has expired or the step's deadline has passed.
-- A decision that commutes holds on any revision, as long as other steps of its node are still to end. What was decided
-- on another revision is answered with revision -1: nothing else may be decided on what the worker knows.
-- Answers `outcome`: finished | already (this attempt's end is stored) | stale | conflict (the decision was made
-- on an older revision; `state` is the present one: decide again).
CREATE OR REPLACE FUNCTION workflows_finish(
    p_workflow uuid, p_step uuid, p_attempt int, p_revision bigint, p_worker text, p_lease_seconds float,
    p_outcome jsonb, p_decision jsonb, p_settlements jsonb, p_continue boolean, p_reap boolean)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_step workflows_step;
    v_workflow workflows_workflow;
    v_cost bigint := 0;
    v_ready boolean := false;
    v_event jsonb;
    v_next jsonb;
    v_next_step record;
    v_status text := p_outcome ->> 'status';
    v_holds boolean;
BEGIN
    SELECT * INTO v_workflow FROM workflows_workflow WHERE id = p_workflow FOR NO KEY UPDATE;
    v_holds := v_workflow.revision = p_revision OR (p_decision ->> 'commutes')::boolean AND (
        v_status IN ('ready', 'waiting') OR workflows_others_unfinished(p_step));
    IF p_settlements <> '[]' THEN
        v_cost := gateway_settle(p_settlements);
    END IF;
    -- The fence. An attempt that ends keeps its worker and its times on the row; only those that did not succeed
    -- are written down apart, since the row will tell of the next one.
    UPDATE workflows_step SET
        status = v_status, lease_expires_at = NULL, deadline_at = NULL, output = p_outcome -> 'output',
        finished_at = CASE WHEN v_status IN ('succeeded', 'skipped', 'omitted', 'dead', 'cancelled') THEN now() END,
        ready_at = CASE WHEN v_status = 'ready' THEN now() ELSE ready_at END,
        waiting_for = CASE WHEN v_status = 'waiting' THEN coalesce(p_outcome ->> 'waiting_for', 'timer') END,
        run_at = CASE WHEN v_status = 'waiting'
                 THEN now() + (p_outcome ->> 'delay_seconds')::float * interval '1 second' END
    WHERE id = p_step AND attempt = p_attempt AND status = 'running' AND v_holds
      AND (NOT p_reap OR lease_expires_at < now() OR deadline_at < now())
    RETURNING * INTO v_step;
    IF NOT FOUND THEN
        IF v_cost <> 0 THEN
            UPDATE workflows_workflow SET cost_usd_micros = cost_usd_micros + v_cost WHERE id = p_workflow;
        END IF;
        RETURN workflows_unfinished(v_workflow, p_step, p_attempt, p_worker, p_reap);
    END IF;
    IF v_status NOT IN ('succeeded', 'omitted') THEN
        INSERT INTO workflows_stepattempt (
            step_id, attempt, outcome, worker, error_code, error_message, traceback, started_at)
        VALUES (p_step, p_attempt, p_outcome ->> 'attempt_outcome', v_step.worker,
                coalesce(p_outcome ->> 'error_code', ''), coalesce(p_outcome ->> 'error_message', ''),
                coalesce(p_outcome ->> 'traceback', ''), v_step.started_at);
        IF p_outcome ? 'dead_letter' THEN
            PERFORM workflows_write_letter(v_workflow, v_step, p_outcome);
        END IF;
        IF p_outcome ? 'hold' THEN
            PERFORM workflows_note_hold(v_workflow, p_step, p_outcome -> 'hold');
        END IF;
        IF v_status = 'waiting' AND v_step.waiting_for IN ('signal', 'approval') THEN
            v_status := workflows_await(v_workflow, v_step);
        END IF;
    END IF;
    IF p_reap THEN
        v_cost := v_cost + gateway_give_up_calls(gateway_calls_in_flight(p_step, p_attempt), 'worker_lost');
    END IF;
    v_event := jsonb_strip_nulls(jsonb_build_object(
        'key', v_step.node, 'index', v_step.index, 'status', v_status, 'attempt', p_attempt,
        'error', p_outcome -> 'error_code', 'cost_usd_micros', v_workflow.cost_usd_micros + v_cost));
    p_continue := p_continue AND v_workflow.status = 'running';

    IF p_continue AND p_decision ? 'only' THEN
        -- The common case, a chain: the one step that this finish sets free goes from blocked to running at once.
        p_continue := workflows_grant_continuation(
            v_step.queue_id, v_step.tenant_id, (p_decision ->> 'only_tokens')::int);
        IF p_continue THEN
            SELECT workflows_take(v_workflow, s.id, s.attempt + 1, 'blocked', p_worker, p_lease_seconds,
                                  p_outcome ->> 'known')
            INTO v_next FROM workflows_step s
            WHERE s.workflow_id = p_workflow AND s.node = p_decision ->> 'only' AND s.index IS NULL;
        END IF;
    END IF;
    IF v_next IS NULL THEN
        INSERT INTO workflows_event (workflow_id, kind, data) VALUES (p_workflow, 'step.status', v_event);
        v_ready := workflows_apply(p_workflow, p_decision || jsonb_build_object('after', v_step.index))
            OR v_status = 'ready';
        IF v_workflow.status = 'paused' AND v_ready THEN
            PERFORM workflows_park(p_workflow);
            v_ready := false;
        END IF;
        -- After an element of a fan-out, with another one that is ready: it needs no message.
        IF p_continue AND (v_ready OR (p_decision ->> 'commutes')::boolean AND v_status NOT IN ('ready', 'waiting')) THEN
            SELECT id, attempt, estimated_tokens INTO v_next_step FROM workflows_step
            WHERE queue_id = v_step.queue_id AND tenant_id = v_step.tenant_id AND workflow_id = p_workflow
              AND status = 'ready'
            ORDER BY position, index LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
            IF FOUND AND workflows_grant_continuation(
                    v_step.queue_id, v_step.tenant_id, v_next_step.estimated_tokens) THEN
                v_next := workflows_take(v_workflow, v_next_step.id, v_next_step.attempt + 1, 'ready', p_worker,
                                         p_lease_seconds, p_outcome ->> 'known');
                INSERT INTO workflows_event (workflow_id, kind, data)
                VALUES (p_workflow, 'step.status', workflows_running_event(v_next));
            END IF;
        END IF;
    ELSE
        INSERT INTO workflows_event (workflow_id, kind, data)
        VALUES (p_workflow, 'step.status', v_event),
               (p_workflow, 'step.status', workflows_running_event(v_next));
    END IF;
    UPDATE workflows_workflow SET
        revision = revision + 1, cost_usd_micros = cost_usd_micros + v_cost,
        coordination_seconds = coordination_seconds + coalesce((v_next ->> 'waited_seconds')::float, 0),
        degradations = CASE WHEN p_outcome ? 'degradations' THEN degradations || (
                SELECT coalesce(jsonb_agg(note), '[]') FROM (
                    SELECT told || jsonb_build_object('step', workflows_key(v_step.node, v_step.index)) AS note
                    FROM jsonb_array_elements(p_outcome -> 'degradations') AS told) AS notes
                -- A step that is held again and again says so once.
                WHERE NOT degradations @> jsonb_build_array(note))
            ELSE degradations END
    WHERE id = p_workflow;
    IF v_status = 'waiting' OR v_workflow.status = 'running' AND v_next IS NULL AND NOT v_ready THEN
        PERFORM workflows_review_hold(p_workflow);
    END IF;
    IF v_ready AND EXISTS (
        SELECT 1 FROM workflows_step WHERE queue_id = v_step.queue_id AND tenant_id = v_step.tenant_id
        AND workflow_id = p_workflow AND status = 'ready') THEN
        PERFORM workflows_mark_lane(v_step.queue_id, v_step.tenant_id);
    END IF;
    RETURN jsonb_build_object(
        'outcome', 'finished', 'ended', jsonb_typeof(p_decision -> 'ending') = 'object', 'next', v_next,
        'revision', CASE WHEN v_workflow.revision = p_revision THEN p_revision + 1 ELSE -1 END,
        -- A slot came free or steps became ready: the dispatcher has something to do.
        'wake', v_next IS NULL AND EXISTS (
            SELECT 1 FROM workflows_lane l WHERE l.queue_id = v_step.queue_id AND l.backlogged));
END $$;
