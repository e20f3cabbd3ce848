-- A UUID version 7 (RFC 9562): deliveries that are made together stand together in their index.
CREATE FUNCTION notifications_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(
        set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- Makes the deliveries of an event to the tenant's endpoints that want it; returns how many. One indexed look, and
-- nothing else where there is none.
CREATE FUNCTION notifications_emit(p_tenant uuid, p_type text, p_data jsonb) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_event uuid := gen_random_uuid();
    v_count int;
BEGIN
    INSERT INTO notifications_delivery (
        id, tenant_id, endpoint_id, channel, event_type, event_id, data, status, next_attempt_at)
    SELECT notifications_uuid7(), p_tenant, e.id, 'webhook', p_type, v_event, p_data, 'pending', now()
    FROM notifications_endpoint e
    WHERE e.tenant_id = p_tenant AND e.is_enabled AND (e.events = '{}' OR p_type = ANY (e.events));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- Takes the delivery that has been due for longest, for one process alone until its lease ends; null if none is due.
-- What hangs holds no more than its share of the slots: so many of an endpoint, of a tenant, and of e-mail.
CREATE FUNCTION notifications_take(
    p_lease_seconds float, p_endpoint_slots int, p_tenant_slots int, p_email_slots int)
RETURNS TABLE (delivery_id uuid, lease int) LANGUAGE plpgsql AS $$
DECLARE
    v_endpoints uuid[];
    v_tenants uuid[];
    v_emails bigint;
BEGIN
    SELECT array_agg(endpoint_id) INTO v_endpoints FROM (
        SELECT endpoint_id FROM notifications_delivery WHERE leased_until > now() AND endpoint_id IS NOT NULL
        GROUP BY 1 HAVING count(*) >= p_endpoint_slots) AS busy;
    SELECT array_agg(tenant_id) INTO v_tenants FROM (
        SELECT tenant_id FROM notifications_delivery
        WHERE leased_until > now() AND channel = 'webhook' AND tenant_id IS NOT NULL
        GROUP BY 1 HAVING count(*) >= p_tenant_slots) AS busy;
    SELECT count(*) INTO v_emails FROM notifications_delivery
    WHERE leased_until > now() AND channel = 'email';
    RETURN QUERY
    UPDATE notifications_delivery AS taken
    SET lease = taken.lease + 1, leased_until = now() + p_lease_seconds * interval '1 second',
        next_attempt_at = now() + p_lease_seconds * interval '1 second'
    WHERE taken.id = (
        SELECT d.id FROM notifications_delivery d
        WHERE d.status = 'pending' AND d.next_attempt_at <= now()
          AND (d.channel = 'email' AND v_emails < p_email_slots
               OR d.channel = 'webhook'
               AND NOT d.endpoint_id = ANY (coalesce(v_endpoints, '{}'))
               AND (d.tenant_id IS NULL OR NOT d.tenant_id = ANY (coalesce(v_tenants, '{}'))))
        ORDER BY d.next_attempt_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING taken.id, taken.lease;
END $$;
