-- The journal with how each call was routed. Old code does not tell: its calls are live, and of unknown reason.

-- A call is written before it is made. No fsync: a start that is lost comes back with its settlement.
CREATE OR REPLACE FUNCTION gateway_start_call(p_call jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO gateway_call (
        id, tenant_id, workflow_id, step_id, attempt, ordinal, request_hash, status, task_type, agent, tier,
        provider, model, lane, complexity, routing_reason, escalated_from, input_tokens, output_tokens,
        cost_usd_micros, estimated, provider_request_id, error_code)
    SELECT c.call_id, c.tenant_id, c.workflow_id, c.step_id, c.attempt, c.ordinal, c.request_hash, 'started',
           c.task_type, c.agent, c.tier, c.provider, c.model, coalesce(c.lane, 'live'), c.complexity,
           coalesce(c.routing_reason, ''), coalesce(c.escalated_from, ''), 0, 0, 0, false, '', ''
    FROM jsonb_to_record(p_call) AS c(
        call_id uuid, tenant_id uuid, workflow_id uuid, step_id uuid, attempt int, ordinal int,
        request_hash text, task_type text, agent text, tier text, provider text, model text,
        lane text, complexity float, routing_reason text, escalated_from text)
    ON CONFLICT (id) DO NOTHING;
END $$;

-- Settles calls, each once by its id and from whichever worker reports it: the provider has billed.
-- Returns what the newly settled ones cost, in micro-dollars.
CREATE OR REPLACE FUNCTION gateway_settle(p_settlements jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_settlement jsonb;
    v_total bigint := 0;
BEGIN
    FOR v_settlement IN SELECT * FROM jsonb_array_elements(p_settlements) LOOP
        INSERT INTO gateway_call AS call (
            id, tenant_id, workflow_id, step_id, attempt, ordinal, request_hash, status, task_type, agent,
            tier, provider, model, lane, complexity, routing_reason, escalated_from, input_tokens,
            output_tokens, cache_read_tokens, cost_usd_micros, estimated, provider_request_id, error_code,
            response, settled_at)
        SELECT s.call_id, s.tenant_id, s.workflow_id, s.step_id, s.attempt, s.ordinal, s.request_hash,
               s.status, s.task_type, s.agent, s.tier, s.provider, s.model, coalesce(s.lane, 'live'),
               s.complexity, coalesce(s.routing_reason, ''), coalesce(s.escalated_from, ''),
               s.input_tokens + s.cache_write_5m_tokens + s.cache_write_1h_tokens + s.cache_read_tokens,
               s.output_tokens, s.cache_read_tokens, s.cost_usd_micros, s.estimated, s.provider_request_id, s.error_code,
               s.response, now()
        FROM jsonb_to_record(v_settlement) AS s(
            call_id uuid, tenant_id uuid, workflow_id uuid, step_id uuid, attempt int, ordinal int,
            request_hash text, status text, task_type text, agent text, tier text, provider text, model text,
            input_tokens bigint, output_tokens bigint, cache_write_5m_tokens bigint,
            cache_write_1h_tokens bigint, cache_read_tokens bigint, cost_usd_micros bigint, estimated boolean,
            provider_request_id text, error_code text, response jsonb,
            lane text, complexity float, routing_reason text, escalated_from text)
        ON CONFLICT (id) DO UPDATE SET
            status = excluded.status, model = excluded.model, input_tokens = excluded.input_tokens,
            output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
            cost_usd_micros = excluded.cost_usd_micros,
            estimated = excluded.estimated, provider_request_id = excluded.provider_request_id,
            error_code = excluded.error_code, response = excluded.response, settled_at = excluded.settled_at
        WHERE call.status IN ('started', 'unknown');
        -- A failed call was not billed, unless the provider had begun to answer.
        IF FOUND AND (v_settlement ->> 'status' = 'settled' OR (v_settlement ->> 'cost_usd_micros')::bigint > 0)
        THEN
            v_total := v_total + budgets_append(v_settlement);
        END IF;
    END LOOP;
    RETURN v_total;
END $$;
