"""The tables of how the platform stands: queues, circuits, dead letters, notices."""

from __future__ import annotations

from django.urls import reverse

from apps.gateway.circuits import CircuitsAway, circuit_states
from apps.insights.panels import Column, Form, Panel, Source
from apps.notifications.models import Audience, Notice
from apps.workflows.dead_letter_selectors import open_dead_letter_groups
from apps.workflows.selectors import queue_signals

COUNTED_STEPS = 1_000
SHOWN = 10


def queues_panel() -> Panel:
    """How long steps wait, by queue and pool."""
    columns = [
        Column("queue"),
        Column("pool"),
        Column("slots", Form.NUMBER),
        Column("free", Form.NUMBER),
        Column("ready", Form.NUMBER),
        Column("active", Form.NUMBER),
        Column("oldest wait", Form.SECONDS),
        Column("wait for a slot", Form.SECONDS),
        Column("backlog", Form.SECONDS),
    ]
    signals = queue_signals(counted=COUNTED_STEPS)
    rows = [
        (
            signal.queue,
            signal.pool,
            signal.slots,
            signal.free,
            signal.ready,
            signal.active,
            signal.oldest_wait_seconds,
            signal.slot_wait_seconds,
            signal.backlog.drain_seconds,
        )
        for signal in signals
    ]
    address = reverse("admin:workflows_queueconfig_changelist")
    note = "Until the backlog is done by the slots there are, by how long steps took lately."
    return Panel("queues", "Queues", columns, rows, [address] * len(rows), note)


def circuits_panel() -> Panel:
    """Which models at which providers are passed by."""
    columns = [
        Column("provider"),
        Column("model"),
        Column("circuit", Form.STATUS),
        Column("open until", Form.MOMENT),
        Column("failures", Form.NUMBER),
        Column("trips, 24 h", Form.NUMBER),
    ]
    try:
        states = circuit_states()
    except CircuitsAway as error:
        return Panel("circuits", "Circuits", columns, (), note=str(error))
    states = sorted(states, key=lambda state: (state.phase == "closed", -state.trips_last_day))
    rows = [
        (
            state.provider,
            state.model,
            state.phase.value,
            state.open_until,
            state.recent_failures,
            state.trips_last_day,
        )
        for state in states
    ]
    return Panel("circuits", "Circuits", columns, rows)


def dead_letters_panel() -> Panel:
    """Steps that gave up and wait for somebody, by fingerprint."""
    columns = [
        Column("fingerprint", Form.HASH),
        Column("agent"),
        Column("error"),
        Column("open", Form.NUMBER),
        Column("all", Form.NUMBER),
        Column("last seen", Form.MOMENT),
    ]
    found = open_dead_letter_groups(SHOWN)
    rows = [
        (group.pk, group.agent, group.error_code, count, group.letters, group.last_seen_at)
        for group, count in found
    ]
    links = [reverse("admin:workflows_deadlettergroup_change", args=[group.pk]) for group, _ in found]
    return Panel("dead_letters", "Dead letters by fingerprint", columns, rows, links)


def notices_panel() -> Panel:
    """What operators were told and have not acknowledged."""
    columns = [Column("notice"), Column("severity", Form.STATUS), Column("tenant"), Column("at", Form.MOMENT)]
    unread = Notice.objects.filter(acknowledged_at=None, audience__in=[Audience.OPERATORS, Audience.BOTH])
    notices = list(unread.select_related("tenant").order_by("-id")[:SHOWN])
    rows = [
        (notice.title, notice.severity, notice.tenant.name if notice.tenant else None, notice.created_at)
        for notice in notices
    ]
    links = [reverse("admin:notifications_notice_change", args=[notice.pk]) for notice in notices]
    return Panel("notices", "Notices", columns, rows, links)


def state_sources() -> list[Source]:
    """The tables of how the platform stands, in the order of the page."""
    return [
        Source("queues", ("workflows.view_queueconfig",), queues_panel),
        Source("circuits", ("gateway.view_circuittrip",), circuits_panel),
        Source("dead_letters", ("workflows.view_deadlettergroup",), dead_letters_panel),
        Source("notices", ("notifications.view_notice",), notices_panel),
    ]
