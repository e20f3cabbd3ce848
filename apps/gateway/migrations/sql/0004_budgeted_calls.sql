-- The journal with budgets: a call is reserved for when it starts, and settled there when it has ended.

-- Writes that a call is about to be made, once its worst case is reserved. Returns null, or why it must not be made.
CREATE FUNCTION gateway_reserve_call(p_call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_refusal jsonb;
BEGIN
    v_refusal := budgets_reserve(p_call);
    IF v_refusal IS NULL THEN
        INSERT INTO gateway_call (
            id, tenant_id, workflow_id, step_id, attempt, ordinal, request_hash, status, task_type, agent, tier,
            provider, model, lane, complexity, routing_reason, escalated_from, input_tokens, output_tokens,
            cost_usd_micros, estimated, provider_request_id, error_code)
        SELECT c.call_id, c.tenant_id, c.workflow_id, c.step_id, c.attempt, c.ordinal, c.request_hash, 'started',
               c.task_type, c.agent, c.tier, c.provider, c.model, c.lane, c.complexity, c.routing_reason,
               c.escalated_from, 0, 0, 0, false, '', ''
        FROM jsonb_to_record(p_call) AS c(
            call_id uuid, tenant_id uuid, workflow_id uuid, step_id uuid, attempt int, ordinal int,
            request_hash text, task_type text, agent text, tier text, provider text, model text,
            lane text, complexity float, routing_reason text, escalated_from text)
        ON CONFLICT (id) DO NOTHING;
    END IF;
    RETURN v_refusal;
END $$;

-- Settles calls, each once by its id and from whichever worker reports it: the provider has billed. Every attempt has
-- its entry in the ledger, also one that cost nothing. Returns what the newly settled ones cost, in micro-dollars.
CREATE OR REPLACE FUNCTION gateway_settle(p_settlements jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_settlement jsonb;
    v_total bigint := 0;
BEGIN
    IF jsonb_array_length(p_settlements) > 1 THEN
        PERFORM budgets_lock(ARRAY(SELECT (one ->> 'call_id')::uuid FROM jsonb_array_elements(p_settlements) one));
    END IF;
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
        IF FOUND THEN
            v_total := v_total + budgets_enter(v_settlement);
        END IF;
    END LOOP;
    RETURN v_total;
END $$;

-- Calls that nobody came back from, and nobody may come back from: they count at their worst case until somebody does
-- tell. Returns what that is, in micro-dollars.
CREATE FUNCTION gateway_give_up_calls(p_calls uuid[], p_code text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_call gateway_call;
    v_reservation budgets_reservation;
    v_total bigint := 0;
BEGIN
    IF cardinality(p_calls) > 1 THEN
        PERFORM budgets_lock(p_calls);
    END IF;
    FOR v_call IN
        UPDATE gateway_call SET status = 'unknown', error_code = p_code
        WHERE id = ANY (p_calls) AND status = 'started' RETURNING *
    LOOP
        SELECT * INTO v_reservation FROM budgets_reservation WHERE call_id = v_call.id;
        CONTINUE WHEN NOT FOUND;
        UPDATE gateway_call SET
            input_tokens = v_reservation.input_tokens, output_tokens = v_reservation.output_tokens,
            cost_usd_micros = v_reservation.usd_micros, estimated = true
        WHERE id = v_call.id;
        v_total := v_total + budgets_enter(to_jsonb(v_call) || jsonb_build_object(
            'call_id', v_call.id, 'input_tokens', v_reservation.input_tokens,
            'output_tokens', v_reservation.output_tokens, 'cache_write_5m_tokens', 0, 'cache_write_1h_tokens', 0,
            'cache_read_tokens', 0, 'price_version', 'worst case', 'cost_usd_micros', v_reservation.usd_micros,
            'estimated', true));
    END LOOP;
    RETURN v_total;
END $$;

-- Calls that were certainly not made: what was reserved for them is free again.
CREATE FUNCTION gateway_take_back_calls(p_calls uuid[], p_code text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_call uuid;
BEGIN
    PERFORM budgets_lock(p_calls);
    FOR v_call IN
        UPDATE gateway_call SET status = 'failed', error_code = p_code, settled_at = now()
        WHERE id = ANY (p_calls) AND status IN ('started', 'unknown') RETURNING id
    LOOP
        PERFORM budgets_settle(v_call, 0, 0);
    END LOOP;
END $$;

-- The calls of an attempt that are in flight, apart from those that a batch tells of by itself.
CREATE FUNCTION gateway_calls_in_flight(p_step uuid, p_attempt int) RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(id), '{}') FROM gateway_call
    WHERE step_id = p_step AND attempt = p_attempt AND status = 'started' AND lane <> 'batch'
$$;

-- What became of the call that was left to a batch at a place of a step; null if none was.
-- One for another request is withdrawn, and with `p_withdraw` this one too: it is not waited for any longer. One that
-- was surely not sent has cost nothing; of another the result is still settled when it comes.
CREATE OR REPLACE FUNCTION gateway_batched_call(p_step uuid, p_ordinal int, p_hash text, p_withdraw boolean)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_request gateway_batchrequest;
BEGIN
    SELECT * INTO v_request FROM gateway_batchrequest WHERE step_id = p_step AND ordinal = p_ordinal FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_request.status IN ('pending', 'submitted') THEN
        IF v_request.request_hash = p_hash AND NOT p_withdraw THEN
            RETURN jsonb_build_object('is_open', true, 'response', NULL);
        END IF;
        UPDATE gateway_batchrequest
        SET status = 'withdrawn', request = NULL, is_told = true, ended_at = now() WHERE call_id = v_request.call_id;
        IF v_request.status = 'pending' THEN
            PERFORM gateway_take_back_calls(ARRAY[v_request.call_id], 'batch_withdrawn');
        END IF;
        RETURN jsonb_build_object('is_open', false, 'response', NULL);
    END IF;
    RETURN jsonb_build_object('is_open', false, 'response', (
        SELECT c.response FROM gateway_call c
        WHERE c.id = v_request.call_id AND c.status = 'settled' AND v_request.request_hash = p_hash));
END $$;

-- Writes a call down that goes with a batch, together with its request; or says what became of the one that was left
-- at its place before, or `refusal`: why it must not be made. Its worst case is reserved durably.
CREATE OR REPLACE FUNCTION gateway_leave_to_batch(p_call jsonb, p_request jsonb, p_model text, p_bytes int)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_refusal jsonb;
BEGIN
    INSERT INTO gateway_batchrequest (
        call_id, tenant_id, workflow_id, step_id, ordinal, request_hash, provider, model, request, request_bytes,
        status, is_told)
    SELECT c.call_id, c.tenant_id, c.workflow_id, c.step_id, c.ordinal, c.request_hash, c.provider, p_model,
           p_request, p_bytes, 'pending', false
    FROM jsonb_to_record(p_call) AS c(
        call_id uuid, tenant_id uuid, workflow_id uuid, step_id uuid, ordinal int, request_hash text, provider text)
    ON CONFLICT (step_id, ordinal) DO NOTHING;
    IF FOUND THEN
        v_refusal := gateway_reserve_call(p_call);
        IF v_refusal IS NOT NULL THEN
            DELETE FROM gateway_batchrequest WHERE call_id = (p_call ->> 'call_id')::uuid;
            RETURN jsonb_build_object('refusal', v_refusal);
        END IF;
    END IF;
    RETURN gateway_batched_call(
        (p_call ->> 'step_id')::uuid, (p_call ->> 'ordinal')::int, p_call ->> 'request_hash', false);
END $$;
