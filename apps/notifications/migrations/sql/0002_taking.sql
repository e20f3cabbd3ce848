DROP FUNCTION notifications_take(float, int, int, int);

-- Takes the delivery that has been due for longest, or that of the id if it is due, for one process alone until its
-- lease ends; nothing if none is due. What hangs holds no more than its share of the slots: so many of an endpoint, of
-- a tenant, and of e-mail.
CREATE FUNCTION notifications_take(
    p_delivery uuid, p_lease_seconds float, p_endpoint_slots int, p_tenant_slots int, p_email_slots int)
RETURNS TABLE (delivery_id uuid, lease int) LANGUAGE plpgsql AS $$
DECLARE
    v_endpoints uuid[];
    v_tenants uuid[];
    v_emails bigint;
BEGIN
    -- One after the other: two that count at the same time would pass the limits together. No fsync: what is lost is
    -- taken again.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtext('notifications_take'));
    SELECT coalesce(array_agg(endpoint_id), '{}') INTO v_endpoints FROM (
        SELECT endpoint_id FROM notifications_delivery WHERE leased_until > statement_timestamp() AND endpoint_id IS NOT NULL
        GROUP BY 1 HAVING count(*) >= p_endpoint_slots) AS busy;
    SELECT coalesce(array_agg(tenant_id), '{}') INTO v_tenants FROM (
        SELECT tenant_id FROM notifications_delivery
        WHERE leased_until > statement_timestamp() AND channel = 'webhook' AND tenant_id IS NOT NULL
        GROUP BY 1 HAVING count(*) >= p_tenant_slots) AS busy;
    SELECT count(*) INTO v_emails FROM notifications_delivery
    WHERE leased_until > statement_timestamp() AND channel = 'email';
    RETURN QUERY
    UPDATE notifications_delivery AS taken
    SET lease = taken.lease + 1, leased_until = statement_timestamp() + p_lease_seconds * interval '1 second',
        next_attempt_at = statement_timestamp() + p_lease_seconds * interval '1 second'
    WHERE taken.id = (
        SELECT d.id FROM notifications_delivery d
        WHERE d.status = 'pending' AND d.next_attempt_at <= statement_timestamp() AND (p_delivery IS NULL OR d.id = p_delivery)
          AND (d.channel = 'email' AND v_emails < p_email_slots
               OR d.channel = 'webhook' AND NOT d.endpoint_id = ANY (v_endpoints)
               AND (d.tenant_id IS NULL OR NOT d.tenant_id = ANY (v_tenants)))
        ORDER BY d.next_attempt_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING taken.id, taken.lease;
END $$;
