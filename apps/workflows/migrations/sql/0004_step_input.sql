-- What a step gets of its workflow's input: all of it, or the fields that its definition names (input_fields), so
-- that a large text is not sent along with every step. A small input goes whole, since looking the names up would cost
-- more than it saves; the worker leaves the rest out by itself.
CREATE OR REPLACE FUNCTION workflows_step_input(p_input jsonb, p_definition bigint, p_node text)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_fields jsonb;
BEGIN
    IF pg_column_size(p_input) < 512 THEN  -- as it is stored, which may be compressed
        RETURN p_input;
    END IF;
    SELECT spec -> 'input_fields' INTO v_fields
    FROM workflows_workflowdefinition d, jsonb_array_elements(d.content -> 'steps') AS spec
    WHERE d.id = p_definition AND spec ->> 'key' = p_node;
    IF v_fields IS NULL THEN
        RETURN p_input;
    END IF;
    RETURN (SELECT coalesce(jsonb_object_agg(field, p_input -> field), '{}')
            FROM jsonb_array_elements_text(v_fields) AS field WHERE p_input ? field);
END $$;

-- Claims a dispatched step for the worker that took its hint. A doubled or late hint finds nothing to claim.
-- No fsync: a claim that is lost is a lease that expires.
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
        'input', workflows_step_input(v_workflow.input, v_workflow.definition_id, v_claim ->> 'node'),
        'revision', v_workflow.revision, 'state', workflows_state(v_id));
END $$;
