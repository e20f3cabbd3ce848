-- Webhooks tell tenants of their own runs, not of those that the platform starts for them. Looked at only where an
-- endpoint wants the event.
CREATE FUNCTION workflows_leave_out_internal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM workflows_workflow w JOIN workflows_workflowdefinition d ON d.id = w.definition_id
        WHERE w.id = (NEW.data ->> 'workflow_id')::uuid AND d.is_internal) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER workflows_leave_out_internal BEFORE INSERT ON notifications_delivery
    FOR EACH ROW WHEN (
        NEW.event_type IN ('workflow.finished', 'workflow.held', 'workflow.resumed')
        AND length(NEW.data ->> 'workflow_id') = 36)
    EXECUTE FUNCTION workflows_leave_out_internal();
