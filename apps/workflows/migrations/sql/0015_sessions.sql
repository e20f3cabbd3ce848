-- Runs in sessions: what is said is kept with the submission, the answer with the end of the run.

-- Submits as workflows_submit does, in the session that the tenant calls `p_session`; `p_new` is the id of one that
-- begins. A repeated submission says nothing again.
CREATE OR REPLACE FUNCTION workflows_submit_in_session(
    p_workflow jsonb, p_decision jsonb, p_key text, p_body_hash text, p_key_hours int,
    p_session text, p_new uuid, p_said text)
RETURNS TABLE (workflow_id uuid, is_new boolean, is_same boolean, is_answered boolean) LANGUAGE plpgsql AS $$
DECLARE
    v_submitted record;
    v_session uuid;
BEGIN
    SELECT * INTO v_submitted FROM workflows_submit(p_workflow, p_decision, p_key, p_body_hash, p_key_hours);
    IF v_submitted.is_new THEN
        v_session := knowledge_say(
            (p_workflow ->> 'tenant_id')::uuid, p_session, p_new, v_submitted.workflow_id, p_said);
        UPDATE workflows_workflow SET session_id = v_session WHERE id = v_submitted.workflow_id;
    END IF;
    RETURN QUERY SELECT v_submitted.workflow_id, v_submitted.is_new, v_submitted.is_same, v_submitted.is_answered;
END $$;

-- Keeps the answer of a run in a session, in the transaction that ends it.
CREATE OR REPLACE FUNCTION workflows_keep_answer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_field text;
    v_answer jsonb;
BEGIN
    SELECT content #>> '{session,answered}' INTO v_field
    FROM workflows_workflowdefinition WHERE id = NEW.definition_id;
    v_answer := NEW.result -> v_field;
    IF jsonb_typeof(v_answer) = 'string' AND v_answer <> '""' THEN
        PERFORM knowledge_answer(NEW.id, v_answer #>> '{}');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER workflows_keep_answer AFTER UPDATE OF status ON workflows_workflow
    FOR EACH ROW WHEN (
        NEW.session_id IS NOT NULL AND OLD.finished_at IS NULL AND NEW.status IN ('succeeded', 'partial'))
    EXECUTE FUNCTION workflows_keep_answer();
