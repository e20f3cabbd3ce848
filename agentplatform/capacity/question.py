"""What a plan is asked for, and its answer as a JSON object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from agentplatform.capacity.model import SECONDS_A_DAY, Workload
from agentplatform.capacity.planning import Plan, Scenario
from agentplatform.capacity.sizing import LinePlan
from agentplatform.capacity.what_if import WhatIf, WhatIfError, cache_share_of, tier_shares_of
from agentplatform.llm.tiers import Tier

USUAL_GROWTHS = (1.0, 3.0, 10.0, 1000.0)
USUAL_USERS = 1_000_000
USUAL_DAYS = 7
MOST_GROWTHS = 8
MOST_GROWTH = 1e7
MOST_USERS = 1e9
MOST_DAYS = 90


@dataclass(frozen=True, slots=True)
class Question:
    """Growths, and numbers of users, to plan for; over how many days of profiles; and what would be otherwise.

    A user has as many runs a day as the tenants that were active have in the mean, or `runs_a_user`.
    `max_complexity` are thresholds of tiers, `target_seconds` the waits aimed at by queue.
    """

    growths: tuple[float, ...] = USUAL_GROWTHS
    users: tuple[float, ...] = (float(USUAL_USERS),)
    days: int = USUAL_DAYS
    runs_a_user: float | None = None
    same_tenants: bool = False
    what_if: WhatIf = field(default_factory=WhatIf)
    max_complexity: Mapping[str, float] = field(default_factory=dict)
    target_seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(
            1 <= len(self.growths) + len(self.users) <= MOST_GROWTHS,
            "growths",
            f"Name one to {MOST_GROWTHS} growths and numbers of users.",
        )
        _check(
            all(0 < one <= MOST_GROWTH for one in self.growths),
            "growths",
            "A growth is above 0 and at most 10,000,000.",
        )
        _check(
            all(0 < one <= MOST_USERS for one in self.users),
            "users",
            "Users are at least one, and at most 1,000,000,000.",
        )
        _check(1 <= self.days <= MOST_DAYS, "days", f"Days are 1 to {MOST_DAYS}.")
        _check(
            self.runs_a_user is None or 0 < self.runs_a_user <= 1e6,
            "runs_a_user",
            "A user has more than 0 runs a day.",
        )
        told = self.what_if
        _check(told.cache_share is None or 0 <= told.cache_share <= 1, "cache_share", "A share is 0 to 1.")
        _shares("mix", told.mix)
        _shares("tier_shares", told.tier_shares)
        _shares("max_complexity", self.max_complexity)
        for name, tiers in (("tier_shares", told.tier_shares), ("max_complexity", self.max_complexity)):
            _check(set(tiers) <= set(Tier), name, f"The tiers are {', '.join(Tier)}.")
        _check(
            not (told.tier_shares and self.max_complexity),
            "max_complexity",
            "Name shares of tiers or their thresholds, not both.",
        )
        _check(
            all(0 < one <= SECONDS_A_DAY for one in self.target_seconds.values()),
            "target_seconds",
            "A wait is above 0, and at most a day.",
        )

    def growths_from(self, workload: Workload) -> tuple[tuple[float, ...], float]:
        """All growths to plan for, and the number of users of the measured workload."""
        runs_a_day = SECONDS_A_DAY * sum(task.arrivals_a_second for task in workload.tasks)
        tenants = sum(len(shares) for shares in workload.tenant_shares.values()) or 1
        present = runs_a_day / self.runs_a_user if self.runs_a_user else float(tenants)
        asked = {*self.growths, *(users / present for users in self.users)}
        return tuple(sorted(asked)), present

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal one."""
        data = {name: value for name, value in asdict(self).items() if name != "what_if"}
        return {**data, "growths": list(self.growths), "users": list(self.users), **asdict(self.what_if)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises QuestionError."""
        growths = data.get("growths")
        users = data.get("users")
        if growths is None and users is None:
            growths, users = USUAL_GROWTHS, (USUAL_USERS,)
        return cls(
            tuple(float(one) for one in growths or ()),
            tuple(float(one) for one in users or ()),
            int(data.get("days") or USUAL_DAYS),
            data.get("runs_a_user"),
            bool(data.get("same_tenants", False)),
            WhatIf(dict(data.get("mix") or {}), data.get("cache_share"), dict(data.get("tier_shares") or {})),
            dict(data.get("max_complexity") or {}),
            dict(data.get("target_seconds") or {}),
        )


class QuestionError(WhatIfError):
    """A question that makes no sense; `field` says where."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.field = where


def _check(holds: bool, where: str, message: str) -> None:
    if not holds:
        raise QuestionError(where, message)


def _shares(where: str, shares: Mapping[str, float]) -> None:
    _check(all(0 <= share <= 1 for share in shares.values()), where, "A share is 0 to 1.")
    if where != "max_complexity":
        _check(sum(shares.values()) <= 1 + 1e-6, where, "The shares make more than 1.")


def plan_to_json(plan: Plan, before: Workload, planned: Workload) -> dict[str, Any]:
    """A plan, with the workload that it was made from: as it was measured, and with what would be otherwise."""
    return {
        "measured_seconds": before.measured_seconds,
        "measured_runs": before.measured_runs,
        "cost_error": plan.cost_error,
        "cache_share": cache_share_of(planned),
        "tier_shares": tier_shares_of(planned),
        "measured_cache_share": cache_share_of(before),
        "measured_tier_shares": tier_shares_of(before),
        "scenarios": [_scenario(one) for one in plan.scenarios],
        "notes": list(plan.notes),
    }


def _scenario(one: Scenario) -> dict[str, Any]:
    first = one.first_limit
    return {
        "growth": one.growth,
        "users": one.users,
        "runs_a_day": one.runs_a_day,
        "steps_a_second": one.steps_a_second,
        "cost_usd_micros": round(one.cost_usd_micros),
        "cost_within_budgets_usd_micros": round(one.cost_within_budgets_usd_micros),
        "workers_needed": one.workers_needed,
        "database_commits_per_second": one.database_commits_per_second,
        "broker_messages_per_second": one.broker_messages_per_second,
        "refused_share": one.refused_share,
        "method": "simulation" if one.is_simulated else "formula",
        "first_limit": f"{first.kind}: {first.name}" if first else None,
        "queues": [_line(line) for line in one.lines],
        "limits": [
            {
                "kind": str(limit.kind),
                "name": limit.name,
                "used": limit.used,
                "most": limit.most,
                "unit": limit.unit,
                "utilisation": limit.utilisation if math.isfinite(limit.utilisation) else None,
                "binds_at_growth": limit.binds_at(one.growth),
            }
            for limit in one.limits
        ],
    }


def _line(line: LinePlan) -> dict[str, Any]:
    told = asdict(line)
    return {**told, "utilisation": line.utilisation if math.isfinite(line.utilisation) else None}
