"""What can be set for one provider, at the start (`SIMULATOR_PROVIDERS`) or over its control endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.fields import check_integer, check_names, check_number, check_object
from agentplatform.simulator.models import find_model
from agentplatform.simulator.rate_buckets import KINDS, MINUTE_SECONDS, RateLimit
from agentplatform.simulator.rate_limiter import ANY_FAMILY

FAMILIES = ("haiku", "sonnet", "opus", "fable", "mythos")
_LARGEST_LIMIT = 1_000_000_000
_LARGEST_SCALE = 1_000
_LONGEST_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How batches go: seconds to the end, and the shares of requests that end as errors or expire."""

    seconds: float = 10.0
    errored_share: float = 0.0
    expired_share: float = 0.0

    def as_json(self) -> dict[str, float]:
        """Return the settings as the control endpoints take and show them."""
        return {
            "seconds": self.seconds,
            "errored_share": self.errored_share,
            "expired_share": self.expired_share,
        }


@dataclass(frozen=True, slots=True)
class Quality:
    """How often each model answers rightly, from 0 to 1; a model that is not named always does."""

    by_model: Mapping[str, float]
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the settings as the control endpoints take and show them."""
        return {"by_model": dict(self.by_model), "seed": self.seed}


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """The settings of one provider. `latency_scale` of None is the simulator's own."""

    latency_scale: float | None = None
    rate_limits: Mapping[str, RateLimit] = field(default_factory=dict)
    batches: BatchSettings = BatchSettings()
    quality: Quality | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the settings as the control endpoints take and show them."""
        return {
            "latency_scale": self.latency_scale,
            "rate_limits": {family: limit.as_json() for family, limit in self.rate_limits.items()},
            "batches": self.batches.as_json(),
            "quality": None if self.quality is None else self.quality.as_json(),
        }


def change_settings(settings: ProviderSettings, fields: Mapping[str, Any]) -> ProviderSettings:
    """Return the settings with what a control request names; raises a 400, and nothing is changed."""
    check_names(fields, ("latency_scale", "rate_limits", "batches", "quality"))
    if "latency_scale" in fields:
        scale = fields["latency_scale"]
        settings = replace(
            settings,
            latency_scale=None if scale is None else check_number(scale, "latency_scale", 0, _LARGEST_SCALE),
        )
    if "rate_limits" in fields:
        settings = replace(settings, rate_limits=_rate_limits(fields["rate_limits"]))
    if "batches" in fields:
        settings = replace(settings, batches=_batches(settings.batches, fields["batches"]))
    if "quality" in fields:
        settings = replace(settings, quality=_quality(fields["quality"]))
    return settings


def _rate_limits(value: object) -> dict[str, RateLimit]:
    limits = check_object(value, "rate_limits")
    check_names(limits, (ANY_FAMILY, *FAMILIES), "rate_limits.")
    return {family: _rate_limit(limit, f"rate_limits.{family}") for family, limit in limits.items()}


def _rate_limit(value: object, path: str) -> RateLimit:
    fields = check_object(value, path)
    check_names(fields, (*KINDS, "burst_seconds"), f"{path}.")
    given = {
        kind: check_integer(fields[kind], f"{path}.{kind}", 1, _LARGEST_LIMIT)
        for kind in KINDS
        if fields.get(kind) is not None
    }
    if not given:
        raise invalid_request(f"{path}: give at least one of {', '.join(KINDS)}")
    burst = check_number(
        fields.get("burst_seconds", MINUTE_SECONDS), f"{path}.burst_seconds", 0, MINUTE_SECONDS
    )
    return RateLimit(**given, burst_seconds=burst)


def _batches(settings: BatchSettings, value: object) -> BatchSettings:
    fields = check_object(value, "batches")
    check_names(fields, ("seconds", "errored_share", "expired_share"), "batches.")
    largest = {"seconds": _LONGEST_SECONDS, "errored_share": 1, "expired_share": 1}
    given = {name: check_number(fields[name], f"batches.{name}", 0, largest[name]) for name in fields}
    settings = replace(settings, **given)
    if settings.errored_share + settings.expired_share > 1:
        raise invalid_request("batches: errored_share and expired_share together are at most 1")
    return settings


def _quality(value: object) -> Quality | None:
    if value is None:
        return None
    fields = check_object(value, "quality")
    check_names(fields, ("by_model", "seed"), "quality.")
    by_model = check_object(fields.get("by_model"), "quality.by_model")
    for model, share in by_model.items():
        find_model(model)
        check_number(share, f"quality.by_model.{model}", 0, 1)
    seed = check_integer(fields.get("seed", 0), "quality.seed", 0, 2**63)
    return Quality({find_model(model).id: share for model, share in by_model.items()}, seed)
