-- One entry of the ledger from one settlement (see agentplatform.llm.journal.Settlement), counted in the windows that
-- its worst case was reserved in. For a call that was entered as unknown it is the difference. An answer that was kept
-- costs nothing and counts in no window: what it served and avoided is entered. A tool's call says its `kind`. Returns
-- its cost.
CREATE OR REPLACE FUNCTION budgets_enter(p_settlement jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    s record;
    v_before budgets_ledgerentry;
    v_set budgets_windowset;
    v_set_id bigint;
    v_tokens bigint;
BEGIN
    SELECT * INTO s FROM jsonb_to_record(p_settlement) AS c(
        tenant_id uuid, api_key_id uuid, workflow_id uuid, step_id uuid, call_id uuid, attempt int, task_type text,
        agent text, tier text, provider text, model text, lane text, status text, input_tokens bigint,
        output_tokens bigint, cache_write_5m_tokens bigint, cache_write_1h_tokens bigint, cache_read_tokens bigint,
        price_version text, cost_usd_micros bigint, avoided_usd_micros bigint, estimated boolean,
        provider_request_id text, served_tokens bigint, cache jsonb, kind text);
    v_tokens := s.input_tokens + s.output_tokens + s.cache_write_5m_tokens + s.cache_write_1h_tokens
                + s.cache_read_tokens;
    IF s.cache IS NOT NULL THEN
        v_set_id := (budgets_window_set(s.tenant_id, s.api_key_id, s.task_type)).id;
    ELSE
        v_set_id := budgets_settle(s.call_id, s.cost_usd_micros, v_tokens);
    END IF;
    IF v_set_id IS NULL THEN
        v_before := budgets_entered_as_unknown(s.workflow_id, s.call_id);
        IF v_before.id IS NOT NULL THEN
            s.input_tokens := s.input_tokens - v_before.input_tokens;
            s.output_tokens := s.output_tokens - v_before.output_tokens;
            s.cost_usd_micros := s.cost_usd_micros - v_before.cost_usd_micros;
            v_tokens := v_tokens - v_before.input_tokens - v_before.output_tokens;
            v_set_id := v_before.window_set_id;
        ELSE
            v_set_id := (budgets_window_set(s.tenant_id, s.api_key_id, s.task_type)).id;
        END IF;
        PERFORM budgets_count(v_set_id, s.cost_usd_micros, v_tokens);
    END IF;
    SELECT * INTO v_set FROM budgets_windowset WHERE id = v_set_id;
    INSERT INTO budgets_ledgerentry (
        tenant_id, tenant_tier, api_key_id, workflow_id, step_id, call_id, attempt, task_type, agent, tier, provider,
        model, kind, outcome, input_tokens, output_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
        cache_read_tokens, served_tokens, cache_layer, price_version, cost_usd_micros, avoided_usd_micros, estimated,
        provider_request_id, window_set_id)
    VALUES (s.tenant_id, v_set.tenant_tier, v_set.api_key_id, s.workflow_id, s.step_id, s.call_id, s.attempt,
            s.task_type, s.agent, s.tier, s.provider, s.model,
            CASE WHEN s.cache IS NOT NULL THEN 'cache_hit' WHEN v_before.id IS NOT NULL THEN 'correction'
                 WHEN s.lane = 'batch' THEN 'batch' ELSE coalesce(s.kind, 'call') END,
            s.status, s.input_tokens, s.output_tokens, s.cache_write_5m_tokens, s.cache_write_1h_tokens,
            s.cache_read_tokens, coalesce(s.served_tokens, 0), coalesce(s.cache ->> 'layer', ''), s.price_version,
            s.cost_usd_micros, coalesce(s.avoided_usd_micros, 0), s.estimated, s.provider_request_id, v_set_id);
    RETURN s.cost_usd_micros;
END $$;
