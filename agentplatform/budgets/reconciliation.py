"""Whether counters are the ledger, and whether the ledger is what a provider billed: what differs, and by how much."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum

_DATED = re.compile(r"-\d{8}$")
_OPEN = ("unknown_usd_micros", "estimated_usd_micros")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that is counted twice over and is not the same: what is found, and what the ledger would have it be.

    `unit` is usd_micros, tokens, entries or reservations. `ids` are what to look at.
    """

    subject: str
    unit: str
    expected: int
    found: int
    ids: tuple[str, ...] = ()

    @property
    def difference(self) -> int:
        """How much is found beyond what is expected."""
        return self.found - self.expected


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison over many rows. `mismatches` are the largest of the `mismatched`."""

    name: str
    compared: int
    mismatched: int
    mismatches: tuple[Mismatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Amounts:
    """What one model came to on one day, by one side's account. `input_tokens` are those that no cache was part of.

    Of the cost, `unknown_usd_micros` is of calls that nobody came back from, at their worst case, and
    `estimated_usd_micros` of calls that were broken off, whose tokens were estimated: the ledger knows of these,
    a provider's report does not. `calls` are the ledger's too.
    """

    usd_micros: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    calls: int = 0
    unknown_usd_micros: int = 0
    estimated_usd_micros: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        names = [field.name for field in fields(Amounts)]
        return Amounts(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def tokens(self) -> tuple[int, ...]:
        """The buckets: input, output, written to a cache, read from it."""
        return (self.input_tokens, self.output_tokens, self.cache_write_tokens, self.cache_read_tokens)


@dataclass(frozen=True, slots=True)
class DayOfModel:
    """A line of either side. Days are UTC's."""

    day: date
    model: str
    amounts: Amounts


class Verdict(StrEnum):
    """What becomes of a difference."""

    AGREES = "agrees"
    SHIFTED = "other day"  # the model's days together agree: a call was counted before midnight here, after it there
    EXPLAINED = "explained"  # no more than what is unknown or estimated leaves open
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A day of a model on both sides; `day` is None for all its days together."""

    day: date | None
    model: str
    ledger: Amounts
    billed: Amounts
    verdict: Verdict

    @property
    def difference_usd_micros(self) -> int:
        """How much the ledger has beyond what was billed."""
        return self.ledger.usd_micros - self.billed.usd_micros

    @property
    def difference_percent(self) -> float | None:
        """Of what was billed; None where nothing was."""
        return 100.0 * self.difference_usd_micros / self.billed.usd_micros if self.billed.usd_micros else None


def model_key(model: str) -> str:
    """How a model is called by both sides: a report may add the day of its release."""
    return _DATED.sub("", model)


def compare(
    ledger: Iterable[DayOfModel], billed: Iterable[DayOfModel], tolerance_percent: float = 0.0
) -> list[Comparison]:
    """Both sides by day and model, then each model's days together; in the order of days and models.

    Amounts agree when they differ by no more than `tolerance_percent` of the larger, beyond what rounding each call to
    a micro-dollar may come to.
    """
    own, theirs = _summed(ledger), _summed(billed)
    models = sorted({model for _, model in (*own, *theirs)})
    totals = [
        _compared(None, model, _of_model(own, model), _of_model(theirs, model), tolerance_percent)
        for model in models
    ]
    agreed = {total.model for total in totals if total.verdict is Verdict.AGREES}
    days = []
    for day, model in sorted({*own, *theirs}):
        key = (day, model)
        one = _compared(
            day, model, own.get(key, Amounts()), theirs.get(key, Amounts()), tolerance_percent, agreed
        )
        days.append(one)
    return [*days, *totals]


def _summed(lines: Iterable[DayOfModel]) -> dict[tuple[date, str], Amounts]:
    summed: defaultdict[tuple[date, str], Amounts] = defaultdict(Amounts)
    for line in lines:
        summed[line.day, model_key(line.model)] += line.amounts
    return dict(summed)


def _of_model(side: dict[tuple[date, str], Amounts], model: str) -> Amounts:
    return sum((amounts for (_, other), amounts in side.items() if other == model), Amounts())


def _compared(
    day: date | None,
    model: str,
    own: Amounts,
    theirs: Amounts,
    tolerance_percent: float,
    agreed: Iterable[str] = (),
) -> Comparison:
    return Comparison(day, model, own, theirs, _verdict(own, theirs, tolerance_percent, model in agreed))


def _verdict(own: Amounts, theirs: Amounts, tolerance_percent: float, is_agreed: bool) -> Verdict:
    # Each call was rounded by half a micro-dollar at most, and a report once for each bucket.
    rounding = (own.calls + 1) // 2 + len(own.tokens)
    money = max(own.usd_micros, theirs.usd_micros) * tolerance_percent / 100 + rounding
    difference = own.usd_micros - theirs.usd_micros
    tokens = all(
        abs(mine - other) * 100 <= max(mine, other) * tolerance_percent
        for mine, other in zip(own.tokens, theirs.tokens, strict=True)
    )
    if abs(difference) <= money and tokens:
        return Verdict.AGREES
    if is_agreed:
        return Verdict.SHIFTED
    # What is unknown is in the ledger at its worst, so that the truth is below; an estimate may be off either way.
    lowest, highest = -own.estimated_usd_micros, own.unknown_usd_micros + own.estimated_usd_micros
    is_open = any(getattr(own, name) for name in _OPEN)
    if is_open and lowest - money <= difference <= highest + money:
        return Verdict.EXPLAINED
    return Verdict.DIFFERS


def is_clean(checks: Sequence[Check], comparisons: Sequence[Comparison]) -> bool:
    """Whether nothing differs that is not explained."""
    return not any(check.mismatched for check in checks) and all(
        comparison.verdict is not Verdict.DIFFERS for comparison in comparisons
    )
