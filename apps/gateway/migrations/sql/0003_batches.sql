-- What became of the call that was left to a batch at a place of a step; null if none was.
-- One for another request is withdrawn, and with `p_withdraw` this one too: it is not waited for any longer. One that
-- was surely not sent has cost nothing; of another the result is still settled when it comes.
CREATE FUNCTION gateway_batched_call(p_step uuid, p_ordinal int, p_hash text, p_withdraw boolean)
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
            UPDATE gateway_call SET status = 'failed', error_code = 'batch_withdrawn', settled_at = now()
            WHERE id = v_request.call_id AND status IN ('started', 'unknown');
        END IF;
        RETURN jsonb_build_object('is_open', false, 'response', NULL);
    END IF;
    RETURN jsonb_build_object('is_open', false, 'response', (
        SELECT c.response FROM gateway_call c
        WHERE c.id = v_request.call_id AND c.status = 'settled' AND v_request.request_hash = p_hash));
END $$;

-- Writes a call down that goes with a batch, together with its request; or says what became of the one that was left
-- at its place before. The start of a call is not flushed, but the wait of its step is, and with it what came before.
CREATE FUNCTION gateway_leave_to_batch(p_call jsonb, p_request jsonb, p_model text, p_bytes int)
RETURNS jsonb LANGUAGE plpgsql AS $$
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
        PERFORM gateway_start_call(p_call);
    END IF;
    RETURN gateway_batched_call(
        (p_call ->> 'step_id')::uuid, (p_call ->> 'ordinal')::int, p_call ->> 'request_hash', false);
END $$;

-- Notes how a request of a batch has ended. One that is not waited for any longer stays withdrawn.
CREATE FUNCTION gateway_end_batch_request(p_call uuid, p_status text) RETURNS void LANGUAGE sql AS $$
    UPDATE gateway_batchrequest SET status = p_status, request = NULL, ended_at = now()
    WHERE call_id = p_call AND status IN ('pending', 'submitted')
$$;

-- The calls of an attempt whose worker was lost: what they cost is not known until somebody tells. A batch tells of
-- its calls by itself.
CREATE OR REPLACE FUNCTION gateway_abandon_calls(p_step uuid, p_attempt int) RETURNS void LANGUAGE sql AS $$
    UPDATE gateway_call SET status = 'unknown'
    WHERE step_id = p_step AND attempt = p_attempt AND status = 'started' AND lane <> 'batch'
$$;
