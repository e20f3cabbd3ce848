"""How good a plan is, in plain words and as a share."""

from __future__ import annotations

import math

from agentplatform.capacity.model import HOURS_A_WEEK, SECONDS_A_DAY, Platform, Workload

FEW_RUNS = 200
"""Of fewer runs the highest twentieth of what was measured is not known well."""


def notes_on(
    workload: Workload, platform: Platform, growth: float, any_by_formula: bool
) -> tuple[tuple[str, ...], float]:
    """What is not known, the most important first; and how far off costs may be by chance."""
    error = _cost_error(workload)
    notes = [
        f"{workload.measured_runs:,} runs arrived in {_time(workload.measured_seconds)} that were measured. By their number "
        f"alone, arrivals and costs may be {error:.0%} off (95%)."
    ]
    if all(task.season == (1.0,) * HOURS_A_WEEK for task in workload.tasks):
        notes.append(
            "Less than a day was measured: every hour is taken to be like it, and no busiest hour is known."
        )
    elif workload.measured_seconds < 7 * SECONDS_A_DAY * 0.9:
        notes.append("Less than a week was measured: all days are taken to be alike.")
    few = [task.task_type for task in workload.tasks if task.runs_measured < FEW_RUNS]
    if few:
        notes.append(
            f"Of these fewer than {FEW_RUNS} runs were measured, so their longest steps are hardly known: {_list(few)}."
        )
    unknown = [task.task_type for task in workload.tasks if not task.steps]
    if unknown:
        notes.append(f"Of these no run has ended, so nothing is known of what they take: {_list(unknown)}.")
    called = {
        call.rate_key
        for task in workload.tasks
        for step in task.steps
        for call in step.calls
        if call.rate_key
    }
    without = sorted(called - set(platform.rates))
    if without:
        notes.append(
            f"No rate is set for these, so none binds here, but one of the provider's may: {_list(without)}."
        )
    if growth > 3:
        notes.append(
            f"At {growth:g} times what was measured, steps are taken to last as long as now: that a provider, the database "
            "or the network slows down is not in it."
        )
    notes.append(
        "Waits are likely to be longer than this: measured at three times the load they were a quarter longer in the median "
        "than simulated for the same arrivals, and up to twice as long. The interval is of chance alone."
    )
    if any_by_formula:
        notes.append(
            "The largest sizes are worked out by formula (Erlang C with the correction of Allen and Cunneen), not simulated: "
            "tenants' limits, lending and rates are compared, but make no waits there."
        )
    notes.append(
        f"The database is taken to do {platform.overheads.database_commits_per_second:,.0f} transactions a second and the "
        f"broker {platform.overheads.broker_messages_per_second:,.0f} messages: set what yours do."
    )
    return tuple(notes), error


def _cost_error(workload: Workload) -> float:
    """Half of a 95% interval of the cost, as a share: of how many runs came, and how much they differ in their steps."""
    variance = cost = 0.0
    for task in workload.tasks:
        runs = task.arrivals_a_second * workload.measured_seconds
        each = task.cost_usd_micros_a_run
        spread = sum(step.share * step.count.mean_square * step.cost_usd_micros**2 for step in task.steps)
        cost += runs * each
        variance += runs * max(each**2, (1 - task.given_again) * spread)
    return 1.96 * math.sqrt(variance) / cost if cost else 0.0


def _time(seconds: float) -> str:
    if seconds < 3 * 3600:
        return f"{seconds / 60:,.0f} minutes"
    return (
        f"{seconds / 3600:,.0f} hours"
        if seconds < 3 * SECONDS_A_DAY
        else f"{seconds / SECONDS_A_DAY:,.1f} days"
    )


def _list(names: list[str]) -> str:
    known = list(dict.fromkeys(names))
    return ", ".join(known[:6]) + (f" and {len(known) - 6} more" if len(known) > 6 else "")
