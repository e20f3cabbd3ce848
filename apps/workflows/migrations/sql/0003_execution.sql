-- Takes a step for a worker: the attempt grows by one and is its fencing token from here on. The caller holds
-- the lock on the workflow. Returns all that an agent needs, or null when the step was not there to be taken.
-- `p_known` is a node whose output the worker has in hand, having just made it.
CREATE FUNCTION workflows_take(
    p_workflow workflows_workflow, p_step uuid, p_attempt int, p_from text, p_worker text,
    p_lease_seconds float, p_known text)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_step workflows_step;
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
    RETURN jsonb_build_object(
        'step_id', v_step.id, 'attempt', p_attempt, 'node', v_step.node, 'index', v_step.index,
        'agent', v_step.agent, 'tier', v_step.tier, 'label', v_step.label, 'options', v_step.options,
        'max_attempts', v_step.max_attempts, 'queue', v_step.queue_id,
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

-- What the event of a claim says.
CREATE FUNCTION workflows_running_event(p_claim jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('key', p_claim -> 'node', 'index', p_claim -> 'index', 'status', 'running',
                              'attempt', p_claim -> 'attempt')
$$;

-- Claims a dispatched step for the worker that took its hint. A doubled or late hint finds nothing to claim.
-- No fsync: a claim that is lost is a lease that expires.
CREATE FUNCTION workflows_claim(p_step uuid, p_attempt int, p_worker text, p_lease_seconds float)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
    v_workflow workflows_workflow;
    v_tenant_status text;
    v_claim jsonb;
BEGIN
    SELECT s.workflow_id, t.status INTO v_id, v_tenant_status
    FROM workflows_step s JOIN tenants_tenant t ON t.id = s.tenant_id
    WHERE s.id = p_step AND s.attempt = p_attempt - 1 AND s.status = 'dispatched';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO v_workflow FROM workflows_workflow
    WHERE id = v_id AND status = 'running' FOR NO KEY UPDATE;
    IF NOT FOUND OR v_tenant_status <> 'active' THEN
        UPDATE workflows_step SET status = 'ready' WHERE id = p_step AND status = 'dispatched';
        RETURN NULL;
    END IF;
    v_claim := workflows_take(v_workflow, p_step, p_attempt, 'dispatched', p_worker, p_lease_seconds, NULL);
    IF v_claim IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO workflows_event (workflow_id, kind, data)
    VALUES (v_id, 'step.status', workflows_running_event(v_claim));
    UPDATE workflows_workflow
    SET coordination_seconds = coordination_seconds + (v_claim ->> 'waited_seconds')::float
    WHERE id = v_id;
    RETURN v_claim || jsonb_build_object(
        'workflow_id', v_id, 'tenant_id', v_workflow.tenant_id, 'definition_id', v_workflow.definition_id,
        'input', v_workflow.input, 'revision', v_workflow.revision, 'state', workflows_state(v_id));
END $$;

-- Why an attempt could not be finished (see workflows_finish).
CREATE FUNCTION workflows_unfinished(
    p_workflow workflows_workflow, p_step uuid, p_attempt int, p_worker text, p_reap boolean)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_step workflows_step;
BEGIN
    SELECT * INTO v_step FROM workflows_step WHERE id = p_step;
    IF v_step.attempt = p_attempt AND v_step.status = 'running'
       AND (NOT p_reap OR v_step.lease_expires_at < now()) THEN
        RETURN jsonb_build_object('outcome', 'conflict', 'state', workflows_state(p_workflow.id));
    END IF;
    IF NOT p_reap AND v_step.attempt = p_attempt AND v_step.status = 'succeeded' AND v_step.worker = p_worker
       OR EXISTS (SELECT 1 FROM workflows_stepattempt
                  WHERE step_id = p_step AND attempt = p_attempt AND worker = p_worker AND outcome = 'failed') THEN
        RETURN jsonb_build_object('outcome', 'already');
    END IF;
    RETURN jsonb_build_object('outcome', 'stale');
END $$;

-- Ends an attempt: its outcome, its last settlements, the coordinator's decision and, if admission grants it,
-- the claim of the workflow's next step, in one transaction and one round trip.
--
-- Fenced by (step, attempt, running): a worker that lost its lease changes neither state nor result; what it
-- spent is settled all the same. `p_reap` is for a lost worker: it holds only once the lease has expired.
-- Answers `outcome`: finished | already (this attempt's end is stored) | stale | conflict (the decision was made
-- on an older revision; `state` is the present one: decide again).
CREATE FUNCTION workflows_finish(
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
        finished_at = CASE WHEN v_status IN ('succeeded', 'skipped', 'dead') THEN now() END,
        ready_at = CASE WHEN v_status = 'ready' THEN now() ELSE ready_at END,
        waiting_for = CASE WHEN v_status = 'waiting' THEN 'timer' END,
        run_at = CASE WHEN v_status = 'waiting'
                 THEN now() + (p_outcome ->> 'delay_seconds')::float * interval '1 second' END
    WHERE id = p_step AND attempt = p_attempt AND status = 'running' AND v_workflow.revision = p_revision
      AND (NOT p_reap OR lease_expires_at < now())
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
            SELECT workflows_take(v_workflow, s.id, 1, 'blocked', p_worker, p_lease_seconds, p_outcome ->> 'known')
            INTO v_next FROM workflows_step s
            WHERE s.workflow_id = p_workflow AND s.node = p_decision ->> 'only' AND s.index IS NULL;
        END IF;
    END IF;
    IF v_next IS NULL THEN
        INSERT INTO workflows_event (workflow_id, kind, data) VALUES (p_workflow, 'step.status', v_event);
        v_ready := workflows_apply(p_workflow, p_decision) OR v_status = 'ready';
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
        degradations = CASE WHEN p_outcome ? 'degradations'
                       THEN degradations || (p_outcome -> 'degradations') ELSE degradations END
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

-- Renews the leases that a process holds, all in one statement. Returns those it still holds.
CREATE FUNCTION workflows_renew(p_steps uuid[], p_attempts int[], p_lease_seconds float)
RETURNS TABLE (step_id uuid, attempt int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    UPDATE workflows_step s SET lease_expires_at = now() + p_lease_seconds * interval '1 second'
    FROM unnest(p_steps, p_attempts) AS held(id, attempt)
    WHERE s.id = held.id AND s.attempt = held.attempt AND s.status = 'running'
    RETURNING s.id, s.attempt;
END $$;

-- Running steps whose lease has expired. None for 15 s after the database came up: their workers may be alive and
-- only now able to renew.
CREATE FUNCTION workflows_expired(p_limit int)
RETURNS TABLE (step_id uuid, attempt int, workflow_id uuid) LANGUAGE sql STABLE AS $$
    SELECT s.id, s.attempt, s.workflow_id FROM workflows_step s
    WHERE s.status = 'running' AND s.lease_expires_at < now()
      AND pg_postmaster_start_time() < now() - interval '15 seconds'
    LIMIT p_limit
$$;

-- Writes down that a call is about to be made, unless its worst case could take the workflow over its max_cost.
-- Returns whether it may be made. Steps that run in parallel do not see each other's calls in flight.
CREATE FUNCTION workflows_start_call(p_workflow uuid, p_call jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM workflows_workflow WHERE id = p_workflow
        AND cost_usd_micros + (p_call ->> 'worst_case_usd_micros')::bigint > max_cost_usd_micros) THEN
        RETURN false;
    END IF;
    PERFORM gateway_start_call(p_call);
    RETURN true;
END $$;

-- Settles calls in the middle of a step, and adds what they cost to the workflow.
CREATE FUNCTION workflows_settle(p_workflow uuid, p_settlements jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_cost bigint;
BEGIN
    PERFORM 1 FROM workflows_workflow WHERE id = p_workflow FOR NO KEY UPDATE;
    v_cost := gateway_settle(p_settlements);
    IF v_cost > 0 THEN
        UPDATE workflows_workflow SET cost_usd_micros = cost_usd_micros + v_cost WHERE id = p_workflow;
    END IF;
END $$;

-- Which of these attempts are still to be run: the others were cancelled, or taken away.
CREATE FUNCTION workflows_still_running(p_steps uuid[], p_attempts int[])
RETURNS TABLE (step_id uuid, attempt int) LANGUAGE sql STABLE AS $$
    SELECT s.id, s.attempt
    FROM unnest(p_steps, p_attempts) AS held(id, attempt)
    JOIN workflows_step s ON s.id = held.id AND s.attempt = held.attempt AND s.status = 'running'
$$;

-- Stores a run and its first steps, in one round trip. With an idempotency key that was used within
-- `p_key_hours`, nothing is stored and the first run is returned, with whether it was asked for in the same words.
CREATE FUNCTION workflows_start(
    p_workflow jsonb, p_decision jsonb, p_key text, p_body_hash text, p_key_hours int)
RETURNS TABLE (workflow_id uuid, is_new boolean, is_same boolean) LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := (p_workflow ->> 'id')::uuid;
    v_tenant uuid := (p_workflow ->> 'tenant_id')::uuid;
BEGIN
    IF p_key IS NOT NULL THEN
        INSERT INTO workflows_idempotencykey AS used (tenant_id, key, body_hash, workflow_id)
        VALUES (v_tenant, p_key, p_body_hash, v_id)
        ON CONFLICT (tenant_id, key) DO UPDATE
        SET body_hash = excluded.body_hash, workflow_id = excluded.workflow_id, created_at = now()
        WHERE used.created_at < now() - p_key_hours * interval '1 hour';
        IF NOT FOUND THEN
            RETURN QUERY SELECT used.workflow_id, false, used.body_hash = p_body_hash
                FROM workflows_idempotencykey used WHERE used.tenant_id = v_tenant AND used.key = p_key;
            RETURN;
        END IF;
    END IF;
    INSERT INTO workflows_workflow (
        id, tenant_id, definition_id, api_key_id, status, queue_id, revision, fan_out, input, metadata,
        degradations, cost_usd_micros, max_cost_usd_micros, coordination_seconds, deadline_at)
    SELECT v_id, v_tenant, w.definition_id, w.api_key_id, 'running', w.queue, 0, '{}', w.input, w.metadata,
           '[]', 0, w.max_cost_usd_micros, 0, now() + w.deadline_seconds * interval '1 second'
    FROM jsonb_to_record(p_workflow) AS w(
        definition_id bigint, api_key_id uuid, queue text, input jsonb, metadata jsonb,
        max_cost_usd_micros bigint, deadline_seconds float);
    IF workflows_apply(v_id, p_decision) THEN
        PERFORM workflows_mark_lane(p_workflow ->> 'queue', v_tenant);
    END IF;
    RETURN QUERY SELECT v_id, true, true;
END $$;
