"""What a plan of capacity is made from: the workload as it was measured, and the platform as it is set and running."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count
from django.db.models.functions import Round
from django.utils import timezone

from agentplatform.capacity.model import (
    BudgetCap,
    Overheads,
    Platform,
    Queue,
    Rates,
    Station,
    TierLimits,
    Workload,
)
from agentplatform.capacity.workload import HourOfArrivals, calibrated, rate_key_of, workload_of
from agentplatform.profiles.profile import Profile, together
from agentplatform.workflows.definition import Definition
from apps.budgets.models import Budget, Scope
from apps.console.filters import CLOCK_SLACK, first_id
from apps.database import read_within, release_connection
from apps.gateway.models import Call, ModelTier, ProviderRate
from apps.insights.profile_selectors import hourly_profiles
from apps.tenants.models import Tenant, TenantTier
from apps.workflows.models import Heartbeat, QueueConfig, QueuePool, Workflow, WorkflowDefinition

ALIVE = timedelta(seconds=20)
MOST_TENANTS = 200
"""Of each tier, the shares of the largest are kept; the others are taken to be alike."""

READ_SECONDS = 20.0
"""How long the database has to count calls."""

TARGET_WAIT_SECONDS = {"interactive": 1.0, "standard": 10.0, "batch": 600.0}
"""How long 95% of the steps of a queue should wait at most, where nobody says otherwise."""


def measured_workload(since: datetime, until: datetime, platform: Platform) -> Workload:
    """What the stored profiles of [since, until) tell, in hours of the week."""
    hours: list[HourOfArrivals] = []

    def each() -> Iterator[Profile]:
        for hour, profile in hourly_profiles(since, until):
            arrived: dict[str, int] = defaultdict(int)
            for key, counted in profile.runs.items():
                arrived[key.task_type] += counted["arrived"]
            hours.append((hour.weekday() * 24 + hour.hour, profile.seconds, arrived))
            yield profile

    return workload_from(together(each()), since, until, platform, hours)


def workload_from(
    profile: Profile,
    since: datetime,
    until: datetime,
    platform: Platform,
    hours: Sequence[HourOfArrivals] = (),
) -> Workload:
    """The workload of a profile that was measured in [since, until) on this platform."""
    families = sorted(
        ((rate.provider_id, rate.family) for rate in ProviderRate.objects.all()),
        key=lambda pair: -len(pair[1]),
    )

    def rate_key(provider: str, model: str) -> str:
        for of, family in families:
            if of == provider and model.startswith(family):
                return f"{of}/{family}"
        return rate_key_of(provider, model)

    definitions = {
        row.type: Definition.from_json(row.content)
        for row in WorkflowDefinition.objects.filter(is_current=True)
    }
    shares = _tenant_shares(since, until)
    release_connection()
    workload = workload_of(profile, definitions, hours=hours, tenant_shares=shares, rate_key=rate_key)
    return calibrated(workload, platform, profile)


def platform_now() -> Platform:
    """Workers that are alive, and the limits that are set."""
    try:
        queues = _queues()
        return Platform(
            _stations(queues),
            queues,
            {
                tier.name: TierLimits(
                    tier.name,
                    tier.pool,
                    tier.weight,
                    tier.max_concurrent_steps,
                    tier.requests_per_minute,
                    tier.steps_per_minute,
                    tier.tokens_per_minute,
                )
                for tier in TenantTier.objects.all()
            },
            {
                f"{rate.provider_id}/{rate.family}": Rates(
                    rate.requests_per_minute, rate.input_tokens_per_minute, rate.output_tokens_per_minute
                )
                for rate in ProviderRate.objects.all()
            },
            _budgets(),
            Overheads(
                database_commits_per_second=settings.CAPACITY_COMMITS_PER_SECOND,
                broker_messages_per_second=settings.CAPACITY_MESSAGES_PER_SECOND,
            ),
        )
    finally:
        release_connection()


def _queues() -> dict[str, Queue]:
    pools: dict[str, list[QueuePool]] = defaultdict(list)
    for pool in QueuePool.objects.all():
        pools[pool.queue_id].append(pool)
    return {
        row.name: Queue(
            row.name,
            row.priority,
            row.max_concurrent,
            row.quantum_tokens,
            TARGET_WAIT_SECONDS.get(row.name, 10.0),
            {
                pool.tier_id: pool.max_concurrent
                for pool in pools[row.name]
                if pool.max_concurrent is not None
            },
            {pool.tier_id: pool.guaranteed_percent for pool in pools[row.name] if pool.guaranteed_percent},
            row.dedicated_slots,
            row.lendable_slots,
            row.borrowable_slots,
            row.borrow_after_seconds,
        )
        for row in QueueConfig.objects.all()
    }


def _stations(queues: Mapping[str, Queue]) -> tuple[Station, ...]:
    """Workers by what they serve, those that may be lent each by itself.

    A queue that no live worker serves is taken to have the slots that its settings say it should have.
    """
    groups: dict[frozenset[tuple[str, str]], list[int]] = defaultdict(list)
    stations = []
    pools = set(TenantTier.objects.values_list("pool", flat=True)) or {"shared"}
    rows = Heartbeat.objects.filter(kind="worker", beat_at__gt=timezone.now() - ALIVE)
    for row in rows.order_by("name"):
        serves = frozenset(_served(name) for name in row.home or row.queues)
        serves = frozenset(pair for pair in serves if pair[0] in queues)
        if serves and row.is_lendable and len(serves) == 1:
            stations.append(Station(row.node or row.name, row.slots, serves, row.slots, is_lendable=True))
        elif serves:
            groups[serves].append(row.slots)
    stations += [Station(_title(serves), sum(slots), serves, max(slots)) for serves, slots in groups.items()]
    served = {pair for station in stations for pair in station.serves}
    for name, queue in queues.items():
        missing = frozenset((name, pool) for pool in pools if pool == "shared" and (name, pool) not in served)
        if missing:
            slots = max(1, queue.dedicated_slots)
            stations.append(Station(_title(missing), slots, missing, slots))
    for pool in sorted(pools - {"shared"}):
        if not any((name, pool) in served for name in queues):
            serves = frozenset((name, pool) for name in queues)
            stations.append(Station(_title(serves), 10, serves, 10))
    return tuple(sorted(stations, key=lambda station: station.name))


def _served(celery_queue: str) -> tuple[str, str]:
    queue, _, pool = celery_queue.partition(".")
    return queue, pool or "shared"


def _title(serves: frozenset[tuple[str, str]]) -> str:
    pools = {pool for _, pool in serves}
    names = sorted(queue if pool == "shared" else f"{queue}.{pool}" for queue, pool in serves)
    return pools.pop() if len(names) > 1 and len(pools) == 1 else "+".join(names)


def _budgets() -> tuple[BudgetCap, ...]:
    """Caps in money that hold something back. Those of API keys are left out: runs are not known by key."""
    tiers = dict(Tenant.objects.values_list("pk", "tier_id"))
    caps = []
    rows = Budget.objects.filter(is_enabled=True, is_dry_run=False).exclude(scope=Scope.API_KEY)
    for row in rows:
        tier = row.tier_id or (tiers.get(row.tenant_id) if row.tenant_id else None)
        is_one = row.scope == Scope.TENANT or bool(row.tenant_id)
        for amount, is_monthly in ((row.daily_usd_micros, False), (row.monthly_usd_micros, True)):
            if amount is not None:
                caps.append(
                    BudgetCap(
                        f"{row.name} ({'month' if is_monthly else 'day'})",
                        amount * row.shutoff_percent // 100,
                        is_monthly,
                        tier,
                        row.task_type or None,
                        is_each=row.scope == Scope.EACH_TENANT,
                        tenant=str(row.tenant_id) if is_one else None,
                    )
                )
    return tuple(caps)


def _tenant_shares(since: datetime, until: datetime) -> dict[str, tuple[float, ...]]:
    """Of each tier, the shares of its runs by tenant, the largest first."""
    counts: dict[str, list[int]] = defaultdict(list)
    rows = (
        Workflow.objects.filter(
            pk__gte=first_id(since - CLOCK_SLACK),
            pk__lt=first_id(until + CLOCK_SLACK),
            created_at__gte=since,
            created_at__lt=until,
        )
        .order_by()
        .values_list("tenant_id", "tenant__tier_id")
        .annotate(runs=Count("pk"))
    )
    for _, tier, runs in rows:
        counts[tier].append(runs)
    return {tier: _shares(sorted(runs, reverse=True)) for tier, runs in counts.items()}


def _shares(runs: list[int]) -> tuple[float, ...]:
    largest, others = runs[:MOST_TENANTS], runs[MOST_TENANTS:]
    if others:
        largest += [round(sum(others) / len(others))] * len(others)
    whole = sum(largest) or 1
    return tuple(count / whole for count in largest)


def with_targets(platform: Platform, targets: Mapping[str, float]) -> Platform:
    """The same with other waits aimed at, by queue."""
    return replace(
        platform,
        queues={
            name: replace(queue, target_wait_seconds=targets.get(name, queue.target_wait_seconds))
            for name, queue in platform.queues.items()
        },
    )


def thresholds_now() -> dict[str, float]:
    """The highest complexity of each tier of models."""
    return dict(ModelTier.objects.values_list("tier", "max_complexity"))


def complexities_between(
    since: datetime, until: datetime
) -> tuple[dict[tuple[str, float], int], dict[str, int]]:
    """Calls that were answered, by tier and complexity to a hundredth; and those whose tier was pinned."""
    scored: dict[tuple[str, float], int] = defaultdict(int)
    pinned: dict[str, int] = {}
    with read_within(READ_SECONDS):
        rows = (
            Call.objects.filter(
                pk__gte=first_id(since - CLOCK_SLACK),
                pk__lt=first_id(until + CLOCK_SLACK),
                status=Call.Status.SETTLED,
                cache__isnull=True,
            )
            .order_by()
            .annotate(rounded=Round("complexity", precision=2))
            .values_list("tier", "rounded")
            .annotate(calls=Count("pk"))
        )
        for tier, complexity, calls in rows:
            if complexity is None:
                pinned[tier] = calls
            else:
                scored[tier, float(complexity)] += calls
    return scored, pinned
