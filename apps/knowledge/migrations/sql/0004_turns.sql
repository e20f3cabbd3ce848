-- Keeps what a submission says in a session, which begins with the first one that names it. Two ordinals are taken: its
-- own, and the next for the answer to it. Returns the session's id; `p_new` is the id of one that begins.
CREATE OR REPLACE FUNCTION knowledge_say(p_tenant uuid, p_name text, p_new uuid, p_workflow uuid, p_text text) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
    v_ordinal int;
BEGIN
    INSERT INTO knowledge_session AS s (id, tenant_id, external_id, last_ordinal)
    VALUES (p_new, p_tenant, p_name, 2)
    ON CONFLICT (tenant_id, external_id) WHERE forgotten_at IS NULL
    DO UPDATE SET last_ordinal = s.last_ordinal + 2, last_used_at = now()
    RETURNING s.id, s.last_ordinal INTO v_id, v_ordinal;
    INSERT INTO knowledge_turn (tenant_id, session_id, ordinal, role, text, tokens, workflow_id)
    VALUES (p_tenant, v_id, v_ordinal - 1, 'user', p_text, ceil(octet_length(p_text) / 4.0), p_workflow);
    RETURN v_id;
END $$;

-- Keeps the answer to what the run's submission said; a run that ends again, after a requeue, replaces its answer.
-- The answer to what has been forgotten is not kept.
CREATE OR REPLACE FUNCTION knowledge_answer(p_workflow uuid, p_text text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO knowledge_turn (tenant_id, session_id, ordinal, role, text, tokens, workflow_id)
    SELECT tenant_id, session_id, ordinal + 1, 'assistant', p_text, ceil(octet_length(p_text) / 4.0), workflow_id
    FROM knowledge_turn WHERE workflow_id = p_workflow AND role = 'user'
    ON CONFLICT (workflow_id, role) DO UPDATE
    SET text = excluded.text, tokens = excluded.tokens, embedding_model = '', vector = NULL
$$;
