-- Makes the deliveries of an event to the tenant's endpoints that want it; returns how many. Where no endpoint wants
-- it, which is most of the time, one indexed look is all: planning an insert would take several times as long.
CREATE OR REPLACE FUNCTION notifications_emit(p_tenant uuid, p_type text, p_data jsonb) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_event uuid;
    v_count int;
BEGIN
    PERFORM 1 FROM notifications_endpoint e
    WHERE e.tenant_id = p_tenant AND e.is_enabled AND (e.events = '{}' OR p_type = ANY (e.events)) LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    v_event := gen_random_uuid();
    INSERT INTO notifications_delivery (
        id, tenant_id, endpoint_id, channel, event_type, event_id, data, status, next_attempt_at)
    SELECT notifications_uuid7(), p_tenant, e.id, 'webhook', p_type, v_event, p_data, 'pending', now()
    FROM notifications_endpoint e
    WHERE e.tenant_id = p_tenant AND e.is_enabled AND (e.events = '{}' OR p_type = ANY (e.events));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;
