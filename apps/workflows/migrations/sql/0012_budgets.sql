-- Budgets in the life of a step: its calls are reserved for; it is held where there is no room, and goes on by itself.

-- Why a call may not be made within its workflow's own limit, or null. Calls in flight count at their worst case.
CREATE FUNCTION workflows_cost_refusal(p_workflow uuid, p_call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_worst bigint := (p_call ->> 'worst_case_usd_micros')::bigint;
    v_left bigint;
    v_room bigint;
BEGIN
    SELECT max_cost_usd_micros INTO v_left FROM workflows_workflow WHERE id = p_workflow;
    IF v_left IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT max_cost_usd_micros - cost_usd_micros INTO v_left
    FROM workflows_workflow WHERE id = p_workflow FOR NO KEY UPDATE;
    SELECT v_left - coalesce(sum(usd_micros), 0) INTO v_room FROM budgets_reservation
    WHERE workflow_id = p_workflow AND call_id <> (p_call ->> 'call_id')::uuid;
    IF v_worst <= v_room THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object(
        'code', 'max_cost_exceeded', 'room_usd_micros', v_room, 'in_flight', v_worst <= v_left);
END $$;

-- Settles calls, and charges their workflow. What turns out to have cost less than was entered is given back.
CREATE OR REPLACE FUNCTION workflows_settle(p_workflow uuid, p_settlements jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_cost bigint;
BEGIN
    PERFORM 1 FROM workflows_workflow WHERE id = p_workflow FOR NO KEY UPDATE;
    v_cost := gateway_settle(p_settlements);
    IF v_cost <> 0 THEN
        UPDATE workflows_workflow SET cost_usd_micros = cost_usd_micros + v_cost WHERE id = p_workflow;
    END IF;
END $$;

-- Settles earlier calls of the step, then reserves for the next one and writes it down: one round trip a call. Returns
-- null, or why it must not be made. What was settled has been paid for and is flushed; a start is not, unless it was
-- taken straight from a window.
CREATE FUNCTION workflows_reserve_call(p_workflow uuid, p_call jsonb, p_settlements jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    IF p_settlements <> '[]' THEN
        PERFORM workflows_settle(p_workflow, p_settlements);
    ELSE
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN coalesce(workflows_cost_refusal(p_workflow, p_call), gateway_reserve_call(p_call));
END $$;

-- For processes of the version before, until the last of them has ended.
CREATE OR REPLACE FUNCTION workflows_start_call(p_workflow uuid, p_call jsonb, p_settlements jsonb) RETURNS boolean
LANGUAGE sql AS $$
    SELECT workflows_reserve_call(
        p_workflow, jsonb_build_object('worst_case_input_tokens', 0, 'worst_case_output_tokens', 0) || p_call,
        p_settlements) IS NULL
$$;

-- Leaves a call to a batch; `refusal` where it must not be made.
CREATE OR REPLACE FUNCTION workflows_leave_to_batch(
    p_workflow uuid, p_call jsonb, p_request jsonb, p_model text, p_bytes int)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_refusal jsonb;
BEGIN
    v_refusal := workflows_cost_refusal(p_workflow, p_call);
    IF v_refusal IS NOT NULL THEN
        RETURN jsonb_build_object('refusal', v_refusal);
    END IF;
    RETURN gateway_leave_to_batch(p_call, p_request, p_model, p_bytes);
END $$;

-- Settles results of a batch, each call once by its id, and notes how their requests have ended. Workflows are locked
-- in the order of their ids, before what their calls are settled in.
CREATE OR REPLACE FUNCTION workflows_settle_batch(p_results jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_result jsonb;
BEGIN
    PERFORM 1 FROM workflows_workflow WHERE id IN (
        SELECT (result -> 'settlement' ->> 'workflow_id')::uuid FROM jsonb_array_elements(p_results) AS result)
    ORDER BY id FOR NO KEY UPDATE;
    PERFORM budgets_lock(ARRAY(
        SELECT (result -> 'settlement' ->> 'call_id')::uuid FROM jsonb_array_elements(p_results) AS result));
    FOR v_result IN
        SELECT result FROM jsonb_array_elements(p_results) AS result
        ORDER BY result -> 'settlement' ->> 'workflow_id', result -> 'settlement' ->> 'call_id'
    LOOP
        PERFORM workflows_settle(
            (v_result -> 'settlement' ->> 'workflow_id')::uuid, jsonb_build_array(v_result -> 'settlement'));
        PERFORM gateway_end_batch_request(
            (v_result -> 'settlement' ->> 'call_id')::uuid, v_result ->> 'status');
    END LOOP;
END $$;

-- Calls that nobody will come back from, as far as is known: they and their workflows are charged the worst case.
CREATE FUNCTION workflows_give_up_calls(p_calls uuid[], p_code text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_workflow record;
    v_cost bigint;
BEGIN
    PERFORM 1 FROM workflows_workflow WHERE id IN (
        SELECT workflow_id FROM gateway_call WHERE id = ANY (p_calls)) ORDER BY id FOR NO KEY UPDATE;
    PERFORM budgets_lock(p_calls);
    FOR v_workflow IN
        SELECT workflow_id AS id, array_agg(id) AS calls FROM gateway_call WHERE id = ANY (p_calls) GROUP BY 1
    LOOP
        v_cost := gateway_give_up_calls(v_workflow.calls, p_code);
        UPDATE workflows_workflow SET cost_usd_micros = cost_usd_micros + v_cost WHERE id = v_workflow.id;
    END LOOP;
END $$;

-- Reservations of calls whose attempt nobody runs any longer, and that no batch has: their worst case is charged, until
-- somebody tells. `p_grace_seconds` is for those that are settled outside of a step. Returns how many.
CREATE FUNCTION workflows_sweep_reservations(p_grace_seconds float, p_limit int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_calls uuid[];
BEGIN
    SELECT coalesce(array_agg(found.call_id), '{}') INTO v_calls FROM (
        SELECT r.call_id FROM budgets_reservation r
        LEFT JOIN workflows_step s ON s.id = r.step_id AND s.attempt = r.attempt AND s.status = 'running'
        WHERE s.id IS NULL AND r.lane <> 'batch' AND r.created_at < now() - p_grace_seconds * interval '1 second'
        ORDER BY r.created_at LIMIT p_limit) AS found;
    IF v_calls = '{}' THEN
        RETURN 0;
    END IF;
    PERFORM workflows_give_up_calls(v_calls, 'worker_lost');
    RETURN cardinality(v_calls);
END $$;

-- Notes that a step waits for budget, and how much of it.
CREATE FUNCTION workflows_note_hold(p_workflow workflows_workflow, p_step uuid, p_hold jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO budgets_budgethold (
        step_id, workflow_id, tenant_id, api_key_id, task_type, usd_micros, tokens)
    SELECT p_step, p_workflow.id, p_workflow.tenant_id, p_workflow.api_key_id, d.type,
           (p_hold ->> 'usd_micros')::bigint, (p_hold ->> 'tokens')::bigint
    FROM workflows_workflowdefinition d WHERE d.id = p_workflow.definition_id
    ON CONFLICT (step_id) DO UPDATE SET usd_micros = excluded.usd_micros, tokens = excluded.tokens
$$;

-- A run is held while every unfinished, unblocked step of it waits for budget. The caller holds the lock on it.
CREATE FUNCTION workflows_review_hold(p_workflow uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_tenant uuid;
BEGIN
    IF EXISTS (SELECT 1 FROM budgets_budgethold WHERE workflow_id = p_workflow) AND NOT EXISTS (
        SELECT 1 FROM workflows_step WHERE workflow_id = p_workflow
        AND (status IN ('ready', 'dispatched', 'running') OR status = 'waiting' AND waiting_for <> 'budget')) THEN
        UPDATE workflows_workflow SET status = 'held' WHERE id = p_workflow AND status = 'running'
        RETURNING tenant_id INTO v_tenant;
        IF FOUND THEN
            INSERT INTO workflows_event (workflow_id, kind, data)
            VALUES (p_workflow, 'workflow.status', '{"status": "held"}');
            PERFORM notifications_emit(
                v_tenant, 'workflow.held', jsonb_build_object('workflow_id', p_workflow, 'status', 'held'));
        END IF;
    END IF;
END $$;

CREATE FUNCTION workflows_unhold(p_workflow uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_tenant uuid;
BEGIN
    UPDATE workflows_workflow SET status = 'running' WHERE id = p_workflow AND status = 'held'
    RETURNING tenant_id INTO v_tenant;
    IF FOUND THEN
        INSERT INTO workflows_event (workflow_id, kind, data)
        VALUES (p_workflow, 'workflow.status', '{"status": "running"}');
        PERFORM notifications_emit(
            v_tenant, 'workflow.resumed', jsonb_build_object('workflow_id', p_workflow, 'status', 'running'));
    END IF;
END $$;

-- Makes ready the held steps that there is room for again, those that have waited longest first. Returns how many.
CREATE FUNCTION workflows_wake_held(p_limit int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_kind record;
    v_hold record;
    v_room record;
    v_workflow uuid;
    v_count int := 0;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM budgets_budgethold) THEN
        RETURN 0;
    END IF;
    -- Their time has come, or they have ended.
    DELETE FROM budgets_budgethold h WHERE NOT EXISTS (
        SELECT 1 FROM workflows_step s WHERE s.id = h.step_id AND s.status = 'waiting' AND s.waiting_for = 'budget');
    FOR v_kind IN
        SELECT tenant_id, api_key_id, task_type FROM budgets_budgethold GROUP BY 1, 2, 3 ORDER BY min(held_at)
    LOOP
        SELECT room.* INTO v_room FROM budgets_room(
            (budgets_window_set(v_kind.tenant_id, v_kind.api_key_id, v_kind.task_type)).windows) AS room;
        FOR v_hold IN
            SELECT * FROM budgets_budgethold
            WHERE tenant_id = v_kind.tenant_id AND api_key_id IS NOT DISTINCT FROM v_kind.api_key_id
              AND task_type = v_kind.task_type
            ORDER BY held_at LIMIT p_limit
        LOOP
            EXIT WHEN v_room.usd < v_hold.usd_micros OR v_room.tokens < v_hold.tokens OR v_count >= p_limit;
            -- Its workflow first, as everywhere.
            SELECT id INTO v_workflow FROM workflows_workflow
            WHERE id = v_hold.workflow_id FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            PERFORM workflows_unhold(v_hold.workflow_id);
            UPDATE workflows_step SET status = 'ready', waiting_for = NULL, run_at = NULL, ready_at = now()
            WHERE id = v_hold.step_id AND status = 'waiting' AND waiting_for = 'budget';
            IF FOUND THEN
                PERFORM workflows_mark_lane(queue_id, tenant_id) FROM workflows_step WHERE id = v_hold.step_id;
                v_count := v_count + 1;
                v_room.usd := v_room.usd - v_hold.usd_micros;
                v_room.tokens := v_room.tokens - v_hold.tokens;
            END IF;
            DELETE FROM budgets_budgethold WHERE step_id = v_hold.step_id;
        END LOOP;
    END LOOP;
    RETURN v_count;
END $$;

-- Claims a dispatched step for the worker that took its hint. A doubled or late hint finds nothing to claim; a step
-- of a paused workflow waits until that is resumed. No fsync: a claim that is lost is a lease that expires.
CREATE OR REPLACE FUNCTION workflows_claim(p_step uuid, p_attempt int, p_worker text, p_lease_seconds float)
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
    SELECT * INTO v_workflow FROM workflows_workflow WHERE id = v_id FOR NO KEY UPDATE;
    IF v_workflow.status = 'paused' THEN
        PERFORM workflows_park(v_id);
        RETURN NULL;
    END IF;
    IF v_workflow.status = 'held' THEN
        PERFORM workflows_unhold(v_id);
        v_workflow.status := 'running';
    END IF;
    IF v_workflow.status <> 'running' OR v_tenant_status <> 'active' THEN
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
        'workflow_id', v_id, 'tenant_id', v_workflow.tenant_id, 'api_key_id', v_workflow.api_key_id, 'definition_id', v_workflow.definition_id,
        'input', workflows_step_input(v_workflow.input, v_workflow.definition_id, v_claim ->> 'node'),
        'revision', v_workflow.revision, 'state', workflows_state(v_id));
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
        IF v_cost <> 0 THEN
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
        IF p_outcome ? 'hold' THEN
            PERFORM workflows_note_hold(v_workflow, p_step, p_outcome -> 'hold');
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
        'revision', v_workflow.revision + 1,
        -- A slot came free or steps became ready: the dispatcher has something to do.
        'wake', v_next IS NULL AND EXISTS (
            SELECT 1 FROM workflows_lane l WHERE l.queue_id = v_step.queue_id AND l.backlogged));
END $$;

-- Nobody calls these any longer: a call is reserved for when it starts, entered when it is settled, and charged when it
-- is given up. Processes of the version before call none of them by name.
DROP FUNCTION gateway_abandon_calls(uuid, int);
DROP FUNCTION workflows_start_call(uuid, jsonb);
DROP FUNCTION gateway_start_call(jsonb);
DROP FUNCTION budgets_append(jsonb);
