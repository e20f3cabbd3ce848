-- The ledger is append-only: the database itself refuses to change or delete an entry.
CREATE FUNCTION budgets_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: write a correcting entry instead'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER budgets_ledger_append_only BEFORE UPDATE OR DELETE ON budgets_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION budgets_ledger_is_append_only();

-- One entry from one settlement (see agentplatform.llm.journal.Settlement); returns its cost.
CREATE FUNCTION budgets_append(p_settlement jsonb) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO budgets_ledgerentry (
        tenant_id, workflow_id, step_id, call_id, attempt, task_type, agent, tier, provider, model, kind,
        input_tokens, output_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens,
        price_version, cost_usd_micros, estimated, provider_request_id)
    SELECT s.tenant_id, s.workflow_id, s.step_id, s.call_id, s.attempt, s.task_type, s.agent, s.tier,
           s.provider, s.model, 'call', s.input_tokens, s.output_tokens, s.cache_write_5m_tokens,
           s.cache_write_1h_tokens, s.cache_read_tokens, s.price_version, s.cost_usd_micros, s.estimated,
           s.provider_request_id
    FROM jsonb_to_record(p_settlement) AS s(
        tenant_id uuid, workflow_id uuid, step_id uuid, call_id uuid, attempt int, task_type text, agent text,
        tier text, provider text, model text, input_tokens bigint, output_tokens bigint,
        cache_write_5m_tokens bigint, cache_write_1h_tokens bigint, cache_read_tokens bigint,
        price_version text, cost_usd_micros bigint, estimated boolean, provider_request_id text)
    RETURNING cost_usd_micros
$$;
