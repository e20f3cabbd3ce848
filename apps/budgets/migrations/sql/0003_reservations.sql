-- Reserve, settle, give back. Locks are taken in one order: a slice is only ever waited for by whoever settles from
-- it; windows by their ids; slices that are given back are passed over where somebody else has them.

-- Gives back what is left of a slice. The caller has locked it, and all of its windows.
CREATE FUNCTION budgets_fold(p_slice budgets_slice, p_windows bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE budgets_budgetwindow SET
        leased_usd_micros = leased_usd_micros - (p_slice.granted_usd_micros - p_slice.reserved_usd_micros),
        leased_tokens = leased_tokens - (p_slice.granted_tokens - p_slice.reserved_tokens),
        spent_usd_micros = spent_usd_micros + p_slice.spent_usd_micros,
        spent_tokens = spent_tokens + p_slice.spent_tokens
    WHERE id = ANY (p_windows);
    IF p_slice.reserved_usd_micros = 0 AND p_slice.reserved_tokens = 0 THEN
        DELETE FROM budgets_slice WHERE id = p_slice.id;
    ELSE
        UPDATE budgets_slice SET
            granted_usd_micros = reserved_usd_micros, granted_tokens = reserved_tokens,
            spent_usd_micros = 0, spent_tokens = 0
        WHERE id = p_slice.id;
    END IF;
END $$;

-- Has slices give back what they hold, where nobody uses them at this moment, and their windows are free or locked by
-- this transaction. `p_windows`: those that share a window with these; null: those that are not needed any longer,
-- since their windows are over, or nobody has used them for a minute, or they are from before a crash and every call
-- of then has ended. Returns how many.
CREATE FUNCTION budgets_recall(p_windows bigint[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_found record;
    v_slice budgets_slice;
    v_count int := 0;
BEGIN
    FOR v_found IN
        SELECT s.id, ws.windows FROM budgets_slice s JOIN budgets_windowset ws ON ws.id = s.window_set_id
        WHERE CASE WHEN p_windows IS NULL
                THEN (ws.valid_until <= now() OR s.used_at < now() - interval '1 minute')
                ELSE ws.windows && p_windows END
          AND (s.granted_usd_micros, s.granted_tokens) IS DISTINCT FROM (s.reserved_usd_micros, s.reserved_tokens)
          AND (s.epoch = pg_postmaster_start_time() OR s.epoch < now() - interval '10 minutes'
               AND pg_postmaster_start_time() < now() - interval '10 minutes')
        ORDER BY s.id
    LOOP
        CONTINUE WHEN (
            SELECT count(*) FROM (
                SELECT 1 FROM budgets_budgetwindow WHERE id = ANY (v_found.windows) ORDER BY id
                FOR NO KEY UPDATE SKIP LOCKED) AS locked)
            < (SELECT count(*) FROM budgets_budgetwindow WHERE id = ANY (v_found.windows));
        SELECT * INTO v_slice FROM budgets_slice WHERE id = v_found.id FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            PERFORM budgets_fold(v_slice, v_found.windows);
            v_count := v_count + 1;
        END IF;
    END LOOP;
    RETURN v_count;
END $$;

-- Why a call is refused: the budget that has no room, what there is room for, when its window turns, and whether it may
-- have room sooner, since calls are in flight that may cost less than reserved.
CREATE FUNCTION budgets_refusal(p_windows bigint[], p_usd bigint, p_tokens bigint, p_usd_room bigint, p_tokens_room bigint)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_tightest record;
BEGIN
    SELECT w.id, b.name, w.period, extract(epoch FROM w.ends_at - now()) AS seconds,
           coalesce(l.usd - u.usd >= p_usd, true) AND coalesce(l.tokens - u.tokens >= p_tokens, true) AS in_flight,
           greatest(p_usd - (l.usd - u.usd - u.held_usd), 0) AS lacks
    INTO v_tightest
    FROM budgets_budgetwindow w JOIN budgets_budget b ON b.id = w.budget_id
    CROSS JOIN LATERAL budgets_limits(b, w.period) l
    CROSS JOIN LATERAL (
        SELECT w.opening_usd_micros + w.spent_usd_micros + coalesce(sum(s.spent_usd_micros), 0) AS usd,
               w.opening_tokens + w.spent_tokens + coalesce(sum(s.spent_tokens), 0) AS tokens,
               w.reserved_usd_micros + w.leased_usd_micros - coalesce(sum(s.spent_usd_micros), 0) AS held_usd,
               w.reserved_tokens + w.leased_tokens - coalesce(sum(s.spent_tokens), 0) AS held_tokens
        FROM budgets_slice s JOIN budgets_windowset ws ON ws.id = s.window_set_id WHERE w.id = ANY (ws.windows)) AS u
    WHERE w.id = ANY (p_windows)
      AND (l.usd - u.usd - u.held_usd < p_usd OR l.tokens - u.tokens - u.held_tokens < p_tokens)
    -- One that is used up comes before one that only waits for calls in flight; the longest comes first.
    ORDER BY in_flight, w.ends_at DESC LIMIT 1;
    IF NOT v_tightest.in_flight THEN
        UPDATE budgets_budgetwindow SET
            refused_usd_micros = least(refused_usd_micros, p_usd), refused_tokens = least(refused_tokens, p_tokens)
        WHERE id = v_tightest.id;
    END IF;
    RETURN jsonb_build_object(
        'code', 'budget_exhausted', 'budget', v_tightest.name, 'period', v_tightest.period,
        'seconds', v_tightest.seconds, 'in_flight', v_tightest.in_flight,
        'room_usd_micros', p_usd_room, 'room_tokens', p_tokens_room);
END $$;

-- Takes the worst case of a call from its windows: by a new slice while all of them have more than a tenth left, else
-- straight. Both durably. Returns null and the slice, or why it is refused.
CREATE FUNCTION budgets_take(
    p_set budgets_windowset, p_usd bigint, p_tokens bigint, p_directly boolean, OUT refusal jsonb, OUT slice bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_room record;
    v_usd bigint;
    v_tokens bigint;
BEGIN
    PERFORM 1 FROM budgets_budgetwindow WHERE id = ANY (p_set.windows) ORDER BY id FOR NO KEY UPDATE;
    SELECT * INTO v_room FROM budgets_room(p_set.windows);
    IF v_room.is_low OR v_room.usd < p_usd OR v_room.tokens < p_tokens THEN
        IF budgets_recall(p_set.windows) > 0 THEN
            SELECT * INTO v_room FROM budgets_room(p_set.windows);
        END IF;
        IF v_room.usd < p_usd OR v_room.tokens < p_tokens THEN
            refusal := budgets_refusal(p_set.windows, p_usd, p_tokens, v_room.usd, v_room.tokens);
            RETURN;
        END IF;
    END IF;
    SET LOCAL synchronous_commit TO DEFAULT;
    v_usd := least(50 * p_usd, v_room.share_usd);
    v_tokens := least(50 * p_tokens, v_room.share_tokens);
    IF p_directly OR v_room.is_low OR v_usd < p_usd OR v_tokens < p_tokens THEN
        UPDATE budgets_budgetwindow SET
            reserved_usd_micros = reserved_usd_micros + p_usd, reserved_tokens = reserved_tokens + p_tokens,
            refused_usd_micros = CASE WHEN refused_usd_micros > p_usd THEN refused_usd_micros END,
            refused_tokens = CASE WHEN refused_usd_micros > p_usd THEN refused_tokens END
        WHERE id = ANY (p_set.windows);
        RETURN;
    END IF;
    UPDATE budgets_budgetwindow SET
        leased_usd_micros = leased_usd_micros + v_usd, leased_tokens = leased_tokens + v_tokens,
        refused_usd_micros = NULL, refused_tokens = NULL
    WHERE id = ANY (p_set.windows);
    INSERT INTO budgets_slice (
        window_set_id, granted_usd_micros, granted_tokens, reserved_usd_micros, reserved_tokens, spent_usd_micros,
        spent_tokens, epoch)
    VALUES (p_set.id, v_usd, v_tokens, p_usd, p_tokens, 0, 0, pg_postmaster_start_time())
    RETURNING id INTO slice;
END $$;

-- Why a call is not made now: its budget is nearly used up, and has as many calls in flight as it may have.
CREATE FUNCTION budgets_throttle_refusal(p_windows bigint[]) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'code', 'budget_throttled', 'budget', b.name, 'period', w.period, 'in_flight', true,
        'room_usd_micros', NULL)
    FROM budgets_budgetwindow w JOIN budgets_budget b ON b.id = w.budget_id
    WHERE w.id = ANY (p_windows) AND b.scope IN ('api_key', 'task_type') ORDER BY w.level DESC LIMIT 1
$$;

-- Reserves the worst case of a call (see agentplatform.llm.journal.StartedCall) in all its windows at once. Returns
-- null, or why it must not be made. Reserving again changes nothing.
CREATE FUNCTION budgets_reserve(p_call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_call record;
    v_set budgets_windowset;
    v_usd bigint;
    v_tokens bigint;
    v_slice bigint;
    v_refusal jsonb;
BEGIN
    SELECT * INTO v_call FROM jsonb_to_record(p_call) AS c(
        call_id uuid, tenant_id uuid, api_key_id uuid, task_type text, workflow_id uuid, step_id uuid, attempt int,
        lane text, worst_case_usd_micros bigint, worst_case_input_tokens bigint, worst_case_output_tokens bigint);
    IF EXISTS (SELECT 1 FROM budgets_reservation WHERE call_id = v_call.call_id) THEN
        RETURN NULL;
    END IF;
    v_usd := v_call.worst_case_usd_micros;
    v_tokens := v_call.worst_case_input_tokens + v_call.worst_case_output_tokens;
    v_set := budgets_window_set(v_call.tenant_id, v_call.api_key_id, v_call.task_type);
    IF v_set.max_in_flight IS NOT NULL AND v_call.lane = 'live' AND v_set.max_in_flight <= (
        SELECT count(*) FROM budgets_reservation WHERE window_set_id = v_set.id AND lane = 'live') THEN
        RETURN budgets_throttle_refusal(v_set.windows);
    END IF;
    IF v_set.windows <> '{}' THEN
        -- What waits for a batch may wait for a day: that is no use of a slice.
        IF v_call.lane = 'live' THEN
            SELECT id INTO v_slice FROM budgets_slice
            WHERE window_set_id = v_set.id AND epoch = pg_postmaster_start_time()
              AND granted_usd_micros - spent_usd_micros - reserved_usd_micros >= v_usd
              AND granted_tokens - spent_tokens - reserved_tokens >= v_tokens
            LIMIT 1 FOR UPDATE SKIP LOCKED;
        END IF;
        IF v_slice IS NOT NULL THEN
            UPDATE budgets_slice SET
                reserved_usd_micros = reserved_usd_micros + v_usd, reserved_tokens = reserved_tokens + v_tokens,
                used_at = now()
            WHERE id = v_slice;
        ELSE
            SELECT t.refusal, t.slice INTO v_refusal, v_slice
            FROM budgets_take(v_set, v_usd, v_tokens, v_call.lane <> 'live') t;
            IF v_refusal IS NOT NULL THEN
                RETURN v_refusal;
            END IF;
        END IF;
    END IF;
    INSERT INTO budgets_reservation (
        call_id, window_set_id, slice_id, tenant_id, workflow_id, step_id, attempt, lane, usd_micros, input_tokens,
        output_tokens)
    VALUES (v_call.call_id, v_set.id, v_slice, v_call.tenant_id, v_call.workflow_id, v_call.step_id, v_call.attempt,
            v_call.lane, v_usd, v_call.worst_case_input_tokens, v_call.worst_case_output_tokens);
    RETURN NULL;
END $$;

-- Counts spending in the windows of a set, without a reservation: of a call whose start was lost with the server, or a
-- difference that turns out later. A call whose reservation is lost was made from a slice of then, most likely: that
-- has not been given out since.
CREATE FUNCTION budgets_count(p_set bigint, p_usd bigint, p_tokens bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_slice bigint;
    v_windows bigint[];
BEGIN
    SELECT id INTO v_slice FROM budgets_slice
    WHERE window_set_id = p_set AND epoch <> pg_postmaster_start_time() AND p_usd > 0
      AND granted_usd_micros - spent_usd_micros - reserved_usd_micros >= p_usd
      AND granted_tokens - spent_tokens - reserved_tokens >= p_tokens
    LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF v_slice IS NOT NULL THEN
        UPDATE budgets_slice SET spent_usd_micros = spent_usd_micros + p_usd, spent_tokens = spent_tokens + p_tokens
        WHERE id = v_slice;
        RETURN;
    END IF;
    SELECT windows INTO v_windows FROM budgets_windowset WHERE id = p_set;
    PERFORM 1 FROM budgets_budgetwindow WHERE id = ANY (v_windows) ORDER BY id FOR NO KEY UPDATE;
    UPDATE budgets_budgetwindow SET
        spent_usd_micros = spent_usd_micros + p_usd, spent_tokens = spent_tokens + p_tokens
    WHERE id = ANY (v_windows);
END $$;

-- A call that cost more than its worst case, against all reckoning: its slice has to hold at least what it has spent,
-- so its windows lease it as much more.
CREATE FUNCTION budgets_widen(p_slice bigint, p_usd bigint, p_tokens bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_windows bigint[];
BEGIN
    SELECT ws.windows INTO v_windows FROM budgets_slice s JOIN budgets_windowset ws ON ws.id = s.window_set_id
    WHERE s.id = p_slice;
    PERFORM 1 FROM budgets_budgetwindow WHERE id = ANY (v_windows) ORDER BY id FOR NO KEY UPDATE;
    UPDATE budgets_budgetwindow SET
        leased_usd_micros = leased_usd_micros + p_usd, leased_tokens = leased_tokens + p_tokens
    WHERE id = ANY (v_windows);
    UPDATE budgets_slice SET
        granted_usd_micros = granted_usd_micros + p_usd, granted_tokens = granted_tokens + p_tokens
    WHERE id = p_slice;
END $$;

-- Turns the reservation of a call into spending, in the windows it was made in. Returns their set; null where there is
-- no reservation.
CREATE FUNCTION budgets_settle(p_call uuid, p_usd bigint, p_tokens bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_reservation budgets_reservation;
    v_windows bigint[];
    v_over_usd bigint;
    v_over_tokens bigint;
BEGIN
    DELETE FROM budgets_reservation WHERE call_id = p_call RETURNING * INTO v_reservation;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_reservation.slice_id IS NOT NULL THEN
        UPDATE budgets_slice SET
            reserved_usd_micros = reserved_usd_micros - v_reservation.usd_micros,
            reserved_tokens = reserved_tokens - v_reservation.input_tokens - v_reservation.output_tokens,
            spent_usd_micros = spent_usd_micros + p_usd, spent_tokens = spent_tokens + p_tokens
        WHERE id = v_reservation.slice_id
        RETURNING greatest(0, spent_usd_micros + reserved_usd_micros - granted_usd_micros),
                  greatest(0, spent_tokens + reserved_tokens - granted_tokens) INTO v_over_usd, v_over_tokens;
        IF v_over_usd > 0 OR v_over_tokens > 0 THEN
            PERFORM budgets_widen(v_reservation.slice_id, v_over_usd, v_over_tokens);
        END IF;
    ELSE
        SELECT windows INTO v_windows FROM budgets_windowset WHERE id = v_reservation.window_set_id;
        PERFORM 1 FROM budgets_budgetwindow WHERE id = ANY (v_windows) ORDER BY id FOR NO KEY UPDATE;
        UPDATE budgets_budgetwindow SET
            reserved_usd_micros = reserved_usd_micros - v_reservation.usd_micros,
            reserved_tokens = reserved_tokens - v_reservation.input_tokens - v_reservation.output_tokens,
            spent_usd_micros = spent_usd_micros + p_usd, spent_tokens = spent_tokens + p_tokens
        WHERE id = ANY (v_windows);
    END IF;
    RETURN v_reservation.window_set_id;
END $$;

-- Locks what these calls will be settled in, in one order, so that two who settle many at once cannot wait for each
-- other.
CREATE FUNCTION budgets_lock(p_calls uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM budgets_slice WHERE id IN (
        SELECT slice_id FROM budgets_reservation WHERE call_id = ANY (p_calls)) ORDER BY id FOR NO KEY UPDATE;
    PERFORM 1 FROM budgets_budgetwindow WHERE id IN (
        SELECT unnest(ws.windows) FROM budgets_reservation r JOIN budgets_windowset ws ON ws.id = r.window_set_id
        WHERE r.call_id = ANY (p_calls) AND r.slice_id IS NULL) ORDER BY id FOR NO KEY UPDATE;
END $$;

-- What the ledger has for a call that nobody came back from; null where it has nothing.
CREATE FUNCTION budgets_entered_as_unknown(p_workflow uuid, p_call uuid)
RETURNS budgets_ledgerentry LANGUAGE sql STABLE AS $$
    SELECT e FROM budgets_ledgerentry e
    WHERE e.workflow_id = p_workflow AND e.call_id = p_call AND e.outcome = 'unknown' ORDER BY e.id LIMIT 1
$$;

-- One entry of the ledger from one settlement (see agentplatform.llm.journal.Settlement), counted in the windows that
-- its worst case was reserved in. For a call that was entered as unknown it is the difference. Returns its cost.
CREATE FUNCTION budgets_enter(p_settlement jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
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
        provider_request_id text);
    v_tokens := s.input_tokens + s.output_tokens + s.cache_write_5m_tokens + s.cache_write_1h_tokens
                + s.cache_read_tokens;
    v_set_id := budgets_settle(s.call_id, s.cost_usd_micros, v_tokens);
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
        cache_read_tokens, price_version, cost_usd_micros, avoided_usd_micros, estimated, provider_request_id,
        window_set_id)
    VALUES (s.tenant_id, v_set.tenant_tier, v_set.api_key_id, s.workflow_id, s.step_id, s.call_id, s.attempt,
            s.task_type, s.agent, s.tier, s.provider, s.model,
            CASE WHEN v_before.id IS NOT NULL THEN 'correction' WHEN s.lane = 'batch' THEN 'batch' ELSE 'call' END,
            s.status, s.input_tokens, s.output_tokens, s.cache_write_5m_tokens, s.cache_write_1h_tokens,
            s.cache_read_tokens, s.price_version, s.cost_usd_micros, coalesce(s.avoided_usd_micros, 0), s.estimated,
            s.provider_request_id, v_set_id);
    RETURN s.cost_usd_micros;
END $$;
