-- Steps that give their slot up and wait for a provider: an attempt that ends so has not failed.

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
                                  'waited', count(*) FILTER (WHERE outcome = 'waited'))
        INTO v_ended FROM workflows_stepattempt
        WHERE step_id = v_step.id AND attempt > v_step.attempts_before;
    END IF;
    RETURN jsonb_build_object(
        'step_id', v_step.id, 'attempt', p_attempt, 'node', v_step.node, 'index', v_step.index,
        'agent', v_step.agent, 'tier', v_step.tier, 'label', v_step.label, 'options', v_step.options,
        'max_attempts', v_step.max_attempts, 'queue', v_step.queue_id,
        'attempts_before', v_step.attempts_before,
        'lost_workers', coalesce((v_ended ->> 'lost')::int, 0), 'waits', coalesce((v_ended ->> 'waited')::int, 0),
        'seconds_left', extract(epoch FROM v_step.deadline_at - now()),
        'workflow_seconds_left', extract(epoch FROM p_workflow.deadline_at - now()),
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
BEGIN
    SELECT * INTO v_workflow FROM workflows_workflow WHERE id = p_workflow FOR NO KEY UPDATE;
    IF p_settlements <> '[]' THEN
        v_cost := gateway_settle(p_settlements);
    END IF;
    -- The fence. An attempt that ends keeps its worker and its times on the row; only those that did not succeed
    -- are written down apart, since the row will tell of the next one.
    UPDATE workflows_step SET
        status = v_status, lease_expires_at = NULL, deadline_at = NULL, output = p_outcome -> 'output',
        finished_at = CASE WHEN v_status IN ('succeeded', 'skipped', 'dead', 'cancelled') THEN now() END,
        ready_at = CASE WHEN v_status = 'ready' THEN now() ELSE ready_at END,
        waiting_for = CASE WHEN v_status = 'waiting' THEN coalesce(p_outcome ->> 'waiting_for', 'timer') END,
        run_at = CASE WHEN v_status = 'waiting'
                 THEN now() + (p_outcome ->> 'delay_seconds')::float * interval '1 second' END
    WHERE id = p_step AND attempt = p_attempt AND status = 'running' AND v_workflow.revision = p_revision
      AND (NOT p_reap OR lease_expires_at < now() OR deadline_at < now())
    RETURNING * INTO v_step;
    IF NOT FOUND THEN
        IF v_cost > 0 THEN
            UPDATE workflows_workflow SET cost_usd_micros = cost_usd_micros + v_cost WHERE id = p_workflow;
        END IF;
        RETURN workflows_unfinished(v_workflow, p_step, p_attempt, p_worker, p_reap);
    END IF;
    IF v_status <> 'succeeded' THEN
        INSERT INTO workflows_stepattempt (
            step_id, attempt, outcome, worker, error_code, error_message, traceback, started_at)
        VALUES (p_step, p_attempt, p_outcome ->> 'attempt_outcome', v_step.worker,
                coalesce(p_outcome ->> 'error_code', ''), coalesce(p_outcome ->> 'error_message', ''),
                coalesce(p_outcome ->> 'traceback', ''), v_step.started_at);
        IF p_outcome ? 'dead_letter' THEN
            PERFORM workflows_write_letter(v_workflow, v_step, p_outcome);
        END IF;
    END IF;
    IF p_reap THEN
        PERFORM gateway_abandon_calls(p_step, p_attempt);
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
        v_ready := workflows_apply(p_workflow, p_decision) OR v_status = 'ready';
        IF v_workflow.status = 'paused' AND v_ready THEN
            PERFORM workflows_park(p_workflow);
            v_ready := false;
        END IF;
        IF v_ready AND p_continue THEN
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
                SELECT jsonb_agg(told || jsonb_build_object('step', workflows_key(v_step.node, v_step.index)))
                FROM jsonb_array_elements(p_outcome -> 'degradations') AS told)
            ELSE degradations END
    WHERE id = p_workflow;
    IF v_ready AND EXISTS (
        SELECT 1 FROM workflows_step WHERE queue_id = v_step.queue_id AND tenant_id = v_step.tenant_id
        AND workflow_id = p_workflow AND status = 'ready') THEN
        PERFORM workflows_mark_lane(v_step.queue_id, v_step.tenant_id);
    END IF;
    RETURN jsonb_build_object(
        'outcome', 'finished', 'ended', jsonb_typeof(p_decision -> 'ending') = 'object', 'next', v_next,
        'revision', v_workflow.revision + 1,
        -- A slot came free or steps became ready: the dispatcher has something to do.
        'wake', v_next IS NULL AND EXISTS (
            SELECT 1 FROM workflows_lane l WHERE l.queue_id = v_step.queue_id AND l.backlogged));
END $$;

-- Settles earlier calls of the step, then writes down that another is about to be made: one round trip a call. Returns
-- whether it may be made: not if its worst case could take the workflow over its max_cost. Steps that run in parallel do
-- not see each other's calls in flight.
CREATE FUNCTION workflows_start_call(p_workflow uuid, p_call jsonb, p_settlements jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_durable text := current_setting('synchronous_commit');
BEGIN
    IF p_settlements <> '[]' THEN
        PERFORM workflows_settle(p_workflow, p_settlements);
        IF NOT workflows_start_call(p_workflow, p_call) THEN
            RETURN false;
        END IF;
        -- What was settled has been paid for: that must not be lost, though a start may be.
        PERFORM set_config('synchronous_commit', v_durable, true);
        RETURN true;
    END IF;
    RETURN workflows_start_call(p_workflow, p_call);
END $$;
