-- Which windows a call counts in, and how much room they have.

-- The caps of a budget for a period at this moment, with the overrides in force; null where there is none.
CREATE FUNCTION budgets_caps(p_budget budgets_budget, p_period text, OUT usd bigint, OUT tokens bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_override record;
BEGIN
    IF p_period = 'day' THEN
        usd := p_budget.daily_usd_micros;
        tokens := p_budget.daily_tokens;
    ELSE
        usd := p_budget.monthly_usd_micros;
        tokens := p_budget.monthly_tokens;
    END IF;
    FOR v_override IN
        SELECT CASE p_period WHEN 'day' THEN o.daily_usd_micros ELSE o.monthly_usd_micros END AS usd,
               CASE p_period WHEN 'day' THEN o.daily_tokens ELSE o.monthly_tokens END AS tokens
        FROM budgets_budgetoverride o
        WHERE o.budget_id = p_budget.id AND o.starts_at <= now() AND o.expires_at > now() ORDER BY o.id
    LOOP
        usd := coalesce(v_override.usd, usd);
        tokens := coalesce(v_override.tokens, tokens);
    END LOOP;
END $$;

-- What a budget lets be spent in a period at this moment: its caps' shutoff share; null where nothing is held back.
CREATE FUNCTION budgets_limits(p_budget budgets_budget, p_period text, OUT usd bigint, OUT tokens bigint)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_budget.is_enabled AND NOT p_budget.is_dry_run THEN
        SELECT c.usd * p_budget.shutoff_percent / 100, c.tokens * p_budget.shutoff_percent / 100
        INTO usd, tokens FROM budgets_caps(p_budget, p_period) c;
    END IF;
END $$;

-- Whether a budget caps what this tenant, key and task type spend.
CREATE FUNCTION budgets_applies(p_budget budgets_budget, p_tenant uuid, p_tier text, p_key uuid, p_type text)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_budget.is_enabled AND CASE p_budget.scope
        WHEN 'platform' THEN true
        WHEN 'tier' THEN p_budget.tier_id = p_tier
        WHEN 'each_tenant' THEN p_budget.tier_id = p_tier AND NOT EXISTS (
            SELECT 1 FROM budgets_budget own
            WHERE own.scope = 'tenant' AND own.tenant_id = p_tenant AND own.is_enabled)
        WHEN 'tenant' THEN p_budget.tenant_id = p_tenant
        WHEN 'api_key' THEN p_budget.api_key_id = p_key
        WHEN 'task_type' THEN p_budget.task_type = p_type
             AND (p_budget.tenant_id IS NULL OR p_budget.tenant_id = p_tenant)
    END
$$;

-- What the ledger says a budget has used since a period of it began. What belongs to an earlier window of the same
-- budget, since it was reserved there, does not count. What is one tenant's is found by its index.
CREATE FUNCTION budgets_ledger_since(
    p_budget budgets_budget, p_tenant uuid, p_period text, p_since timestamptz, OUT usd bigint, OUT tokens bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_tenant uuid := coalesce(
        p_tenant, p_budget.tenant_id, (SELECT tenant_id FROM tenants_apikey WHERE id = p_budget.api_key_id));
    v_sums record;
BEGIN
    usd := 0;
    tokens := 0;
    FOR v_sums IN EXECUTE format($sql$
        SELECT e.window_set_id, sum(e.cost_usd_micros) AS usd,
               sum(e.input_tokens + e.output_tokens + e.cache_write_5m_tokens + e.cache_write_1h_tokens
                   + e.cache_read_tokens) AS tokens
        FROM budgets_ledgerentry e WHERE e.created_at >= $1 %s GROUP BY 1 $sql$,
        concat_ws(' ', CASE WHEN v_tenant IS NOT NULL THEN 'AND e.tenant_id = $2' END, CASE p_budget.scope
            WHEN 'tier' THEN 'AND e.tenant_tier = $3' WHEN 'api_key' THEN 'AND e.api_key_id = $4'
            WHEN 'task_type' THEN 'AND e.task_type = $5' END))
        USING p_since, v_tenant, p_budget.tier_id, p_budget.api_key_id, p_budget.task_type
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM budgets_windowset ws JOIN budgets_budgetwindow w ON w.id = ANY (ws.windows)
            WHERE ws.id = v_sums.window_set_id AND w.budget_id = p_budget.id
              AND w.generation = p_budget.generation AND w.period = p_period AND w.starts_at < p_since);
        usd := usd + v_sums.usd;
        tokens := tokens + v_sums.tokens;
    END LOOP;
END $$;

-- The present windows of all budgets that apply; those that are not there yet begin, at what the ledger says.
CREATE FUNCTION budgets_windows(p_tenant uuid, p_tier text, p_key uuid, p_type text)
RETURNS SETOF budgets_budgetwindow LANGUAGE plpgsql AS $$
DECLARE
    v_due record;
    v_window budgets_budgetwindow;
    v_opening record;
BEGIN
    FOR v_due IN
        SELECT b AS budget, p.period, CASE b.scope WHEN 'each_tenant' THEN p_tenant END AS tenant,
               date_trunc(p.period, now() AT TIME ZONE b.time_zone) AT TIME ZONE b.time_zone AS starts_at,
               (date_trunc(p.period, now() AT TIME ZONE b.time_zone) + ('1 ' || p.period)::interval)
                   AT TIME ZONE b.time_zone AS ends_at
        FROM budgets_budget b CROSS JOIN (VALUES ('day'), ('month')) AS p(period)
        -- Looked through without a function first: there may be as many budgets as tenants.
        WHERE (b.scope IN ('platform', 'task_type') OR b.tier_id = p_tier OR b.tenant_id = p_tenant
               OR b.api_key_id = p_key)
          AND budgets_applies(b, p_tenant, p_tier, p_key, p_type)
          AND num_nonnulls(VARIADIC ARRAY[(budgets_caps(b, p.period)).usd, (budgets_caps(b, p.period)).tokens]) > 0
        ORDER BY b.id, p.period
    LOOP
        SELECT * INTO v_window FROM budgets_budgetwindow w
        WHERE w.budget_id = (v_due.budget).id AND w.generation = (v_due.budget).generation
          AND w.tenant_id IS NOT DISTINCT FROM v_due.tenant AND w.period = v_due.period
          AND w.starts_at = v_due.starts_at;
        IF NOT FOUND THEN
            SELECT * INTO v_opening
            FROM budgets_ledger_since(v_due.budget, v_due.tenant, v_due.period, v_due.starts_at);
            INSERT INTO budgets_budgetwindow AS w (
                budget_id, generation, tenant_id, period, starts_at, ends_at, opening_usd_micros, opening_tokens,
                leased_usd_micros, leased_tokens, reserved_usd_micros, reserved_tokens, spent_usd_micros,
                spent_tokens, level)
            VALUES ((v_due.budget).id, (v_due.budget).generation, v_due.tenant, v_due.period, v_due.starts_at,
                    v_due.ends_at, v_opening.usd, v_opening.tokens, 0, 0, 0, 0, 0, 0, 0)
            ON CONFLICT (budget_id, generation, tenant_id, period, starts_at) DO UPDATE SET level = w.level
            RETURNING * INTO v_window;
        END IF;
        RETURN NEXT v_window;
    END LOOP;
END $$;

-- The set of windows that spending of this tenant, key and task type counts in at this moment.
CREATE FUNCTION budgets_window_set(p_tenant uuid, p_key uuid, p_type text)
RETURNS budgets_windowset LANGUAGE plpgsql AS $$
DECLARE
    v_set budgets_windowset;
    v_tier text;
    v_windows bigint[];
    v_until timestamptz;
    v_most int;
BEGIN
    SELECT * INTO v_set FROM budgets_windowset
    WHERE tenant_id = p_tenant AND task_type = p_type AND valid_until > now()
      AND api_key_id IS NOT DISTINCT FROM p_key
    ORDER BY id DESC LIMIT 1;
    IF FOUND THEN
        RETURN v_set;
    END IF;
    -- Not beside a change of budgets: it would not find this set.
    PERFORM pg_advisory_xact_lock_shared(hashtext('budgets_window_set'));
    SELECT tier_id INTO v_tier FROM tenants_tenant WHERE id = p_tenant;
    SELECT coalesce(array_agg(w.id ORDER BY w.id), '{}'), min(w.ends_at) INTO v_windows, v_until
    FROM budgets_windows(p_tenant, v_tier, p_key, p_type) w;
    -- An override may begin or end meanwhile, and with it a cap where there was none.
    SELECT least(v_until, min(o.starts_at) FILTER (WHERE o.starts_at > now()),
                 min(o.expires_at) FILTER (WHERE o.expires_at > now())) INTO v_until
    FROM budgets_budgetoverride o;
    -- A tenant's lanes are throttled at admission; what is spent by one key, or on one task type, only here.
    SELECT min(greatest(1, lim.max_concurrent_steps * b.throttle_to_percent / 100)) INTO v_most
    FROM budgets_budgetwindow w JOIN budgets_budget b ON b.id = w.budget_id CROSS JOIN tenants_limits lim
    WHERE w.id = ANY (v_windows) AND w.level >= 3 AND b.scope IN ('api_key', 'task_type') AND NOT b.is_dry_run
      AND lim.tenant_id = p_tenant;
    INSERT INTO budgets_windowset (
        tenant_id, api_key_id, task_type, tenant_tier, windows, max_in_flight, valid_until)
    VALUES (p_tenant, p_key, p_type, v_tier, v_windows, v_most, least(v_until, now() + interval '1 day'))
    RETURNING * INTO v_set;
    RETURN v_set;
END $$;

-- From now on calls find their windows anew, and no slice of the sets that there were is used any longer: those with a
-- window, or all (null), after whatever changes which budgets apply.
CREATE FUNCTION budgets_forget_window_sets(p_window bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('budgets_window_set'));
    UPDATE budgets_windowset SET valid_until = now()
    WHERE valid_until > now() AND (p_window IS NULL OR p_window = ANY (windows));
END $$;

CREATE FUNCTION budgets_budget_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM budgets_forget_window_sets(NULL);
    RETURN NULL;
END $$;

CREATE TRIGGER budgets_budget_changed AFTER INSERT OR UPDATE OR DELETE ON budgets_budget
    FOR EACH STATEMENT EXECUTE FUNCTION budgets_budget_changed();
CREATE TRIGGER budgets_override_changed AFTER INSERT OR UPDATE OR DELETE ON budgets_budgetoverride
    FOR EACH STATEMENT EXECUTE FUNCTION budgets_budget_changed();
CREATE TRIGGER budgets_tenant_tier_changed AFTER UPDATE OF tier_id ON tenants_tenant
    FOR EACH ROW WHEN (OLD.tier_id IS DISTINCT FROM NEW.tier_id) EXECUTE FUNCTION budgets_budget_changed();

-- A budget that begins to count anew gets new windows: another subject, another time zone, or switched on again.
CREATE FUNCTION budgets_begin_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.generation := OLD.generation;
    IF (OLD.scope, OLD.tier_id, OLD.tenant_id, OLD.api_key_id, OLD.task_type, OLD.time_zone)
       IS DISTINCT FROM (NEW.scope, NEW.tier_id, NEW.tenant_id, NEW.api_key_id, NEW.task_type, NEW.time_zone)
       OR NEW.is_enabled AND NOT OLD.is_enabled THEN
        NEW.generation := OLD.generation + 1;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER budgets_begin_generation BEFORE UPDATE ON budgets_budget
    FOR EACH ROW EXECUTE FUNCTION budgets_begin_generation();

-- What windows have room for, the least of them: null where nothing limits it. `is_low`: less than a tenth of a limit
-- is left of one of them. `share_usd` and `share_tokens` are what one more slice may take, so that all slices of a
-- window together leave half of its room.
CREATE FUNCTION budgets_room(
    p_windows bigint[], OUT usd bigint, OUT tokens bigint, OUT is_low boolean, OUT share_usd bigint,
    OUT share_tokens bigint)
LANGUAGE sql STABLE AS $$
    SELECT min(room.usd), min(room.tokens),
           coalesce(bool_or(room.usd * 10 < room.limit_usd OR room.tokens * 10 < room.limit_tokens), false),
           min(room.usd / room.parts), min(room.tokens / room.parts)
    FROM (
        SELECT l.usd - w.opening_usd_micros - w.spent_usd_micros - w.reserved_usd_micros - w.leased_usd_micros AS usd,
               l.tokens - w.opening_tokens - w.spent_tokens - w.reserved_tokens - w.leased_tokens AS tokens,
               l.usd AS limit_usd, l.tokens AS limit_tokens,
               2 * greatest(8, (SELECT count(*) FROM budgets_slice s JOIN budgets_windowset ws
                                ON ws.id = s.window_set_id WHERE w.id = ANY (ws.windows))) AS parts
        FROM budgets_budgetwindow w JOIN budgets_budget b ON b.id = w.budget_id
        CROSS JOIN LATERAL budgets_limits(b, w.period) l
        WHERE w.id = ANY (p_windows)) AS room
$$;

-- How every window stands: its caps at this moment, what it has used of them, what is in flight, what there is room
-- for (null: no limit). Of what slices hold idle it is silent, since they give that back.
CREATE VIEW budgets_window_usage AS
SELECT told.*,
       greatest(100.0 * told.used_usd_micros / nullif(told.cap_usd_micros, 0),
                100.0 * told.used_tokens / nullif(told.cap_tokens, 0),
                CASE WHEN told.cap_usd_micros = 0 OR told.cap_tokens = 0 THEN 100 ELSE 0 END)::float AS used_percent,
       coalesce(told.room_usd_micros < told.refused_usd_micros, false)
           OR coalesce(told.room_tokens < told.refused_tokens, false) AS is_exhausted
FROM (
    SELECT w.id, caps.usd AS cap_usd_micros, caps.tokens AS cap_tokens, used.usd AS used_usd_micros,
           used.tokens AS used_tokens, used.usd_in_flight AS in_flight_usd_micros,
           used.tokens_in_flight AS in_flight_tokens, limits.usd - used.usd - used.usd_in_flight AS room_usd_micros,
           limits.tokens - used.tokens - used.tokens_in_flight AS room_tokens, w.refused_usd_micros, w.refused_tokens
    FROM budgets_budgetwindow w JOIN budgets_budget b ON b.id = w.budget_id
    CROSS JOIN LATERAL budgets_caps(b, w.period) caps
    CROSS JOIN LATERAL budgets_limits(b, w.period) limits
    LEFT JOIN (
        SELECT unnest(ws.windows) AS window_id, sum(s.spent_usd_micros) AS spent_usd,
               sum(s.spent_tokens) AS spent_tokens, sum(s.reserved_usd_micros) AS reserved_usd,
               sum(s.reserved_tokens) AS reserved_tokens
        FROM budgets_slice s JOIN budgets_windowset ws ON ws.id = s.window_set_id GROUP BY 1
    ) AS sliced ON sliced.window_id = w.id
    CROSS JOIN LATERAL (SELECT
        (w.opening_usd_micros + w.spent_usd_micros + coalesce(sliced.spent_usd, 0))::bigint AS usd,
        (w.opening_tokens + w.spent_tokens + coalesce(sliced.spent_tokens, 0))::bigint AS tokens,
        (w.reserved_usd_micros + coalesce(sliced.reserved_usd, 0))::bigint AS usd_in_flight,
        (w.reserved_tokens + coalesce(sliced.reserved_tokens, 0))::bigint AS tokens_in_flight) AS used
) AS told;

-- The present windows that may be near a threshold, or past one: what has to be judged, of as many windows as there are
-- tenants. What slices hold counts as used here; caps are looked up for those alone that have overrides.
CREATE FUNCTION budgets_windows_to_judge() RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
    SELECT w.id FROM budgets_budgetwindow w
    JOIN budgets_budget b ON b.id = w.budget_id AND b.generation = w.generation
    WHERE w.ends_at > now() AND w.starts_at <= now() AND b.is_enabled AND (
        w.level > 0 OR w.refused_usd_micros IS NOT NULL
        OR EXISTS (SELECT 1 FROM budgets_budgetoverride o WHERE o.budget_id = b.id AND o.expires_at > now())
        OR 100 * (w.opening_usd_micros + w.spent_usd_micros + w.reserved_usd_micros + w.leased_usd_micros)
           >= least(b.alert_percent, b.degrade_percent, b.throttle_percent, b.shutoff_percent)
              * CASE w.period WHEN 'day' THEN b.daily_usd_micros ELSE b.monthly_usd_micros END
        OR 100 * (w.opening_tokens + w.spent_tokens + w.reserved_tokens + w.leased_tokens)
           >= least(b.alert_percent, b.degrade_percent, b.throttle_percent, b.shutoff_percent)
              * CASE w.period WHEN 'day' THEN b.daily_tokens ELSE b.monthly_tokens END)
$$;
