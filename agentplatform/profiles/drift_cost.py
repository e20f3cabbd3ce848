"""What a shift costs: the money that a day of windows like this one takes more, or less, than one of the reference's."""

from __future__ import annotations

from agentplatform.profiles.drift import Shift
from agentplatform.profiles.observing import PLATFORM, Measure
from agentplatform.profiles.profile import ANSWERS, CallKey, Counted, Profile, grouped

_DAY_SECONDS = 86_400.0


def cost_a_day_usd_micros(shift: Shift, window: Profile, reference: Profile) -> int | None:
    """In micro-dollars, at the window's load and the reference's prices; None of what costs no money by itself.

    Of a mix, what its parts cost each; of tokens, what a call costs more; of a cache, the answers that are bought now and
    were not; of refusals, escalations and retries, the calls and steps that would not have been made. Shifts of one task
    that have one cause (more tokens, another tier) name the same money, so they do not add up.
    """
    days = window.seconds / _DAY_SECONDS
    if not days:
        return None
    more = _more(shift, window, reference)
    return None if more is None else round(more / days)


def _more(shift: Shift, window: Profile, reference: Profile) -> float | None:
    now, before = _calls(window, shift.task_type), _calls(reference, shift.task_type)
    mean_cost = _mean(before) or _mean(now)
    match shift.measure:
        case Measure.TASK_MIX:
            return _of_mix(_runs(window), _runs(reference), "arrived", "finished")
        case Measure.TIER_MIX:
            return _of_mix(
                _tiers(window, shift.task_type), _tiers(reference, shift.task_type), "settled", "settled"
            )
        case Measure.INPUT_TOKENS | Measure.OUTPUT_TOKENS:
            return (_mean(now) - _mean(before)) * now["settled"]
        case Measure.CACHE_SHARE:
            return (shift.reference - shift.window) * mean_cost * (now["settled"] + now["cache_hits"])
        case Measure.REFUSAL_SHARE | Measure.ESCALATION_SHARE:
            return (shift.window - shift.reference) * mean_cost * now["settled"]
        case Measure.RETRY_SHARE:
            steps = grouped(window.steps, lambda key: key.task_type).get(shift.task_type, Counted())
            each = steps["cost_usd_micros"] / steps["attempts"] if steps["attempts"] else 0.0
            return (shift.window - shift.reference) * each * steps["attempts"]
    return None


def _of_mix(now: dict[str, Counted], before: dict[str, Counted], counted: str, paid: str) -> float:
    """Each part's change of share, at what one of it costs."""
    n, m = (sum(one[counted] for one in side.values()) for side in (now, before))
    if not n or not m:
        return 0.0
    more = 0.0
    for name in {*now, *before}:
        own, other = now.get(name, Counted()), before.get(name, Counted())
        price = _mean(other, paid) or _mean(own, paid)
        more += (own[counted] / n - other[counted] / m) * price * n
    return more


def _mean(counted: Counted, of: str = "settled") -> float:
    return counted["cost_usd_micros"] / counted[of] if counted[of] else 0.0


def _runs(profile: Profile) -> dict[str, Counted]:
    return grouped(profile.runs, lambda key: key.task_type)


def _answers(key: CallKey, task_type: str) -> bool:
    return key.kind in ANSWERS and task_type in (PLATFORM, key.task_type)


def _calls(profile: Profile, task_type: str) -> Counted:
    return grouped(profile.calls, lambda key: "" if _answers(key, task_type) else None).get("", Counted())


def _tiers(profile: Profile, task_type: str) -> dict[str, Counted]:
    return grouped(profile.calls, lambda key: key.tier if _answers(key, task_type) else None)
