-- The journal of tool calls. What a call costs is reserved and entered like a model call's, without tokens.

-- Writes a call down before it is made (see agentplatform.agents.tools.journal.StartedToolCall), and reserves its price.
-- Returns null, or why it must not be made. Starting again changes nothing.
CREATE FUNCTION tools_start_call(p_call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_refusal jsonb;
BEGIN
    IF (p_call ->> 'price_usd_micros')::bigint > 0 THEN
        v_refusal := budgets_reserve(p_call || jsonb_build_object(
            'lane', 'live', 'worst_case_usd_micros', p_call -> 'price_usd_micros', 'worst_case_input_tokens', 0,
            'worst_case_output_tokens', 0));
        IF v_refusal IS NOT NULL THEN
            RETURN v_refusal;
        END IF;
    END IF;
    INSERT INTO tools_toolcall (
        id, tenant_id, api_key_id, workflow_id, step_id, attempt, ordinal, task_type, agent, tool, input_hash,
        is_idempotent, status, offered, price_usd_micros)
    SELECT c.call_id, c.tenant_id, c.api_key_id, c.workflow_id, c.step_id, c.attempt, c.ordinal, c.task_type, c.agent,
           c.tool, c.input_hash, c.is_idempotent, 'started', c.offered, c.price_usd_micros
    FROM jsonb_to_record(p_call) AS c(
        call_id uuid, tenant_id uuid, api_key_id uuid, workflow_id uuid, step_id uuid, attempt int, ordinal int,
        task_type text, agent text, tool text, input_hash text, is_idempotent boolean, offered text[],
        price_usd_micros bigint)
    ON CONFLICT (id) DO NOTHING;
    RETURN NULL;
END $$;

-- The entry of a call in the ledger; none for one that is free. Returns what it cost.
CREATE FUNCTION tools_enter(p_call tools_toolcall) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF p_call.price_usd_micros = 0 THEN
        RETURN 0;
    END IF;
    RETURN budgets_enter(jsonb_build_object(
        'kind', 'tool', 'call_id', p_call.id, 'tenant_id', p_call.tenant_id, 'api_key_id', p_call.api_key_id,
        'workflow_id', p_call.workflow_id, 'step_id', p_call.step_id, 'attempt', p_call.attempt,
        'task_type', p_call.task_type, 'agent', p_call.agent, 'tier', '', 'provider', 'tools', 'model', p_call.tool,
        'lane', 'live', 'status', CASE p_call.status WHEN 'succeeded' THEN 'settled' ELSE p_call.status END,
        'input_tokens', 0, 'output_tokens', 0, 'cache_write_5m_tokens', 0, 'cache_write_1h_tokens', 0,
        'cache_read_tokens', 0, 'price_version', 'operator', 'cost_usd_micros', p_call.cost_usd_micros,
        'estimated', p_call.status = 'unknown', 'provider_request_id', ''));
END $$;

-- Writes how a call ended (see EndedToolCall), once by its id. Returns what it cost, 0 where that had been told.
CREATE FUNCTION tools_end_call(p_ended jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_call tools_toolcall;
BEGIN
    INSERT INTO tools_toolcall AS call (
        id, tenant_id, api_key_id, workflow_id, step_id, attempt, ordinal, task_type, agent, tool, input_hash,
        is_idempotent, status, code, result, offered, price_usd_micros, cost_usd_micros, seconds, started_at, ended_at)
    SELECT c.call_id, c.tenant_id, c.api_key_id, c.workflow_id, c.step_id, c.attempt, c.ordinal, c.task_type, c.agent,
           c.tool, c.input_hash, c.is_idempotent, c.status, c.code, c.result, c.offered, c.price_usd_micros,
           c.cost_usd_micros, c.seconds, now() - c.seconds * interval '1 second', now()
    FROM jsonb_to_record(p_ended) AS c(
        call_id uuid, tenant_id uuid, api_key_id uuid, workflow_id uuid, step_id uuid, attempt int, ordinal int,
        task_type text, agent text, tool text, input_hash text, is_idempotent boolean, status text, code text,
        result jsonb, offered text[], price_usd_micros bigint, cost_usd_micros bigint, seconds float)
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, code = excluded.code, result = excluded.result,
        cost_usd_micros = excluded.cost_usd_micros, seconds = excluded.seconds, ended_at = excluded.ended_at
    WHERE call.status = 'started' OR (call.status = 'unknown' AND call.result IS NULL)
    RETURNING * INTO v_call;
    RETURN CASE WHEN v_call.id IS NULL THEN 0 ELSE tools_enter(v_call) END;
END $$;

-- Calls that nobody will come back from, as far as is known: their price is charged. Returns what that comes to.
CREATE FUNCTION tools_give_up_calls(p_calls uuid[], p_code text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_call tools_toolcall;
    v_total bigint := 0;
BEGIN
    FOR v_call IN
        UPDATE tools_toolcall SET
            status = 'unknown', code = p_code, cost_usd_micros = price_usd_micros, ended_at = now()
        WHERE id = ANY (p_calls) AND status = 'started' RETURNING *
    LOOP
        v_total := v_total + tools_enter(v_call);
    END LOOP;
    RETURN v_total;
END $$;

-- The calls of a step's attempts before this one, as agentplatform.agents.tools.journal reads them.
CREATE FUNCTION tools_calls_before(p_step uuid, p_attempt int) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'ordinal', ordinal, 'input_hash', input_hash, 'status', status, 'code', code, 'result', result,
        'offered', offered, 'seconds', seconds, 'cost_usd_micros', cost_usd_micros) ORDER BY id), '[]')
    FROM tools_toolcall WHERE step_id = p_step AND attempt < p_attempt
$$;
