-- Results that are given again: a submission that a run has answered before ends at once, and a step is told what its
-- submission said of caches.

-- Starts a run that ends in the same statement with the result of `p_source`, a run of its tenant.
CREATE FUNCTION workflows_answer_from(p_workflow jsonb, p_source workflows_workflow) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := (p_workflow ->> 'id')::uuid;
    v_tenant uuid := (p_workflow ->> 'tenant_id')::uuid;
BEGIN
    INSERT INTO workflows_workflow (
        id, tenant_id, definition_id, api_key_id, status, queue_id, revision, fan_out, input, metadata, result,
        degradations, cache, cache_control, cost_usd_micros, max_cost_usd_micros, coordination_seconds, deadline_at,
        finished_at)
    SELECT v_id, v_tenant, w.definition_id, w.api_key_id, 'succeeded', w.queue, 0, '{}', w.input, w.metadata,
           p_source.result, '[]', jsonb_build_object(
               'layer', 'exact', 'similarity', 1.0, 'source_workflow_id', p_source.id,
               'age_seconds', round(extract(epoch FROM now() - p_source.finished_at)::numeric, 1)),
           '', 0, w.max_cost_usd_micros, 0, now() + w.deadline_seconds * interval '1 second', now()
    FROM jsonb_to_record(p_workflow) AS w(
        definition_id bigint, api_key_id uuid, queue text, input jsonb, metadata jsonb,
        max_cost_usd_micros bigint, deadline_seconds float);
    INSERT INTO workflows_event (workflow_id, kind, data)
    VALUES (v_id, 'workflow.status', jsonb_build_object('status', 'succeeded'));
    PERFORM notifications_emit(
        v_tenant, 'workflow.finished', jsonb_build_object('workflow_id', v_id, 'status', 'succeeded'));
    PERFORM budgets_enter_result(
        jsonb_build_object('tenant_id', v_tenant, 'api_key_id', p_workflow -> 'api_key_id', 'workflow_id', v_id,
                           'task_type', p_workflow ->> 'type'),
        p_source.id);
END $$;

-- The latest run that succeeded, as it was asked for, with all that its result depends on as it is now.
CREATE FUNCTION workflows_find_result(p_tenant uuid, p_cache_key text, p_seconds float) RETURNS SETOF workflows_workflow
LANGUAGE sql STABLE AS $$
    SELECT * FROM workflows_workflow
    WHERE cache_key = p_cache_key AND tenant_id = p_tenant AND status = 'succeeded' AND degradations = '[]'
      AND finished_at > now() - p_seconds * interval '1 second'
    ORDER BY id DESC LIMIT 1
$$;

-- Stores a run with its first steps; a repeated submission (by its idempotency key) returns the first run. One that may
-- be served from a cache ends at once where its result is there: then `is_answered`.
CREATE FUNCTION workflows_submit(
    p_workflow jsonb, p_decision jsonb, p_key text, p_body_hash text, p_key_hours int)
RETURNS TABLE (workflow_id uuid, is_new boolean, is_same boolean, is_answered boolean) LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := (p_workflow ->> 'id')::uuid;
    v_tenant uuid := (p_workflow ->> 'tenant_id')::uuid;
    v_source workflows_workflow;
BEGIN
    IF p_key IS NOT NULL THEN
        INSERT INTO workflows_idempotencykey AS used (tenant_id, key, body_hash, workflow_id)
        VALUES (v_tenant, p_key, p_body_hash, v_id)
        ON CONFLICT (tenant_id, key) DO UPDATE
        SET body_hash = excluded.body_hash, workflow_id = excluded.workflow_id, created_at = now()
        WHERE used.created_at < now() - p_key_hours * interval '1 hour';
        IF NOT FOUND THEN
            RETURN QUERY SELECT used.workflow_id, false, used.body_hash = p_body_hash, false
                FROM workflows_idempotencykey used WHERE used.tenant_id = v_tenant AND used.key = p_key;
            RETURN;
        END IF;
    END IF;
    IF (p_workflow ->> 'may_be_served')::boolean THEN
        SELECT * INTO v_source FROM workflows_find_result(
            v_tenant, p_workflow ->> 'cache_key', (p_workflow ->> 'cache_seconds')::float);
        IF FOUND THEN
            PERFORM workflows_answer_from(p_workflow, v_source);
            RETURN QUERY SELECT v_id, true, true, true;
            RETURN;
        END IF;
    END IF;
    INSERT INTO workflows_workflow (
        id, tenant_id, definition_id, api_key_id, status, queue_id, revision, fan_out, input, metadata,
        degradations, cache_key, cache_control, cost_usd_micros, max_cost_usd_micros, coordination_seconds, deadline_at)
    SELECT v_id, v_tenant, w.definition_id, w.api_key_id, 'running', w.queue, 0, '{}', w.input, w.metadata,
           '[]', CASE WHEN w.may_be_kept THEN w.cache_key END, w.cache_control, 0, w.max_cost_usd_micros, 0,
           now() + w.deadline_seconds * interval '1 second'
    FROM jsonb_to_record(p_workflow) AS w(
        definition_id bigint, api_key_id uuid, queue text, input jsonb, metadata jsonb, cache_key text,
        may_be_kept boolean, cache_control text, max_cost_usd_micros bigint, deadline_seconds float);
    IF workflows_apply(v_id, p_decision) THEN
        PERFORM workflows_mark_lane(p_workflow ->> 'queue', v_tenant);
    END IF;
    RETURN QUERY SELECT v_id, true, true, false;
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
        'cache_control', p_workflow.cache_control,
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
