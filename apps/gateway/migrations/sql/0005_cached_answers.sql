-- Answers are kept with their settlement, and what is served of them is settled like any call, at no cost.

-- Keeps an answer in place of an older one to the same request; `p_keep` is what agentplatform.llm.caching.cached writes.
-- It is no part of what a step does: where a lock on it is not to be had at once the answer is not kept.
CREATE FUNCTION gateway_keep_answer(
    p_tenant uuid, p_workflow uuid, p_call uuid, p_response jsonb, p_keep jsonb)
RETURNS void LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
    v_id uuid;
BEGIN
    INSERT INTO gateway_cacheentry AS entry (
        id, tenant_id, use_case, scope_hash, key_hash, subject, response, worth_usd_micros, source_workflow_id,
        source_call_id, expires_at)
    SELECT k.entry_id, p_tenant, k.use_case, k.scope_hash, k.key_hash, k.subject, p_response, k.worth_usd_micros,
           p_workflow, p_call, now() + k.ttl_seconds * interval '1 second'
    FROM jsonb_to_record(p_keep) AS k(
        entry_id uuid, use_case text, scope_hash text, key_hash text, subject text, worth_usd_micros bigint,
        ttl_seconds float)
    ON CONFLICT (tenant_id, key_hash) DO UPDATE SET
        response = excluded.response, worth_usd_micros = excluded.worth_usd_micros, created_at = now(),
        source_workflow_id = excluded.source_workflow_id, source_call_id = excluded.source_call_id,
        expires_at = excluded.expires_at
    RETURNING id INTO v_id;
    IF p_keep ->> 'vector' IS NOT NULL THEN
        INSERT INTO gateway_cachevector (entry_id, tenant_id, scope_hash, model, vector)
        VALUES (v_id, p_tenant, p_keep ->> 'scope_hash', p_keep ->> 'vector_model', (p_keep ->> 'vector')::halfvec)
        ON CONFLICT (entry_id) DO UPDATE SET model = excluded.model, vector = excluded.vector;
    END IF;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RAISE LOG 'an answer was not kept: its place is locked';
END $$;

-- Has a hit by meaning answered live as well, in the background.
CREATE FUNCTION gateway_ask_for_check(p_settlement jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO gateway_cachecheck (
        id, tenant_id, use_case, call_id, workflow_id, entry_id, similarity, probability, request, served)
    SELECT gen_random_uuid(), (p_settlement ->> 'tenant_id')::uuid, p_settlement -> 'check' ->> 'use_case',
           (p_settlement ->> 'call_id')::uuid, (p_settlement ->> 'workflow_id')::uuid,
           (p_settlement -> 'cache' ->> 'entry_id')::uuid, (p_settlement -> 'cache' ->> 'similarity')::float,
           (p_settlement -> 'cache' ->> 'probability')::float, p_settlement -> 'check' -> 'request',
           p_settlement -> 'response'
    ON CONFLICT DO NOTHING
$$;

-- Settles calls, each once by its id, and enters them in the ledger. Returns what that comes to, in micro-dollars.
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
            response, cache, settled_at)
        SELECT s.call_id, s.tenant_id, s.workflow_id, s.step_id, s.attempt, s.ordinal, s.request_hash,
               s.status, s.task_type, s.agent, s.tier, s.provider, s.model, coalesce(s.lane, 'live'),
               s.complexity, coalesce(s.routing_reason, ''), coalesce(s.escalated_from, ''),
               s.input_tokens + s.cache_write_5m_tokens + s.cache_write_1h_tokens + s.cache_read_tokens,
               s.output_tokens, s.cache_read_tokens, s.cost_usd_micros, s.estimated, s.provider_request_id, s.error_code,
               s.response, s.cache, now()
        FROM jsonb_to_record(v_settlement) AS s(
            call_id uuid, tenant_id uuid, workflow_id uuid, step_id uuid, attempt int, ordinal int,
            request_hash text, status text, task_type text, agent text, tier text, provider text, model text,
            input_tokens bigint, output_tokens bigint, cache_write_5m_tokens bigint,
            cache_write_1h_tokens bigint, cache_read_tokens bigint, cost_usd_micros bigint, estimated boolean,
            provider_request_id text, error_code text, response jsonb, cache jsonb,
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
            IF v_settlement ? 'keep' THEN
                PERFORM gateway_keep_answer(
                    (v_settlement ->> 'tenant_id')::uuid, (v_settlement ->> 'workflow_id')::uuid,
                    (v_settlement ->> 'call_id')::uuid, v_settlement -> 'response', v_settlement -> 'keep');
            END IF;
            IF v_settlement ? 'check' THEN
                PERFORM gateway_ask_for_check(v_settlement);
            END IF;
        END IF;
    END LOOP;
    RETURN v_total;
END $$;

-- What a step's earlier attempts have been answered, to be replayed.
CREATE OR REPLACE FUNCTION gateway_settled_calls(p_step uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'ordinal', ordinal, 'request_hash', request_hash, 'response', response, 'lane', lane, 'call_id', id,
        'cost_usd_micros', cost_usd_micros)), '[]')
    FROM (
        SELECT DISTINCT ON (ordinal, request_hash) id, ordinal, request_hash, response, lane, cost_usd_micros
        FROM gateway_call WHERE step_id = p_step AND status = 'settled'
        ORDER BY ordinal, request_hash, settled_at
    ) settled
$$;
