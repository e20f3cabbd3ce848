"""One step of a definition, and what is checked of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentplatform.llm.caching.policy import DEFAULT_TTL_SECONDS, Caching
from agentplatform.llm.tiers import Tier
from agentplatform.workflows import expressions

KEY = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
MAX_NAME_CHARACTERS = 64

INPUT = "input"
"""The name under which a workflow's own input is referred to, in `for_each` and in expressions."""

RESERVED = frozenset({INPUT, "item", "previous"})
"""What a step cannot be called: expressions speak of these."""

MINIMUM_STEP_TOKENS = 100
"""What admission charges a step that calls no model: coordination is cheap, but not free."""

MAX_ITERATIONS = 100
"""The most that a loop may be allowed to go round."""

MAX_ADDED_STEPS = 100
"""The most steps that an agent may be allowed to add to a run."""


class DefinitionError(ValueError):
    """A definition is wrong; the message names the place and how to mend it."""


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One node of a definition.

    `needs` names the steps whose outputs it reads. `when`, an expression over them, the input and its element, says
    whether it runs: where it does not hold the step is omitted, and so is one all of whose needs were.
    `for_each` ("input.items" or "plan.queries") runs it once for every element of that list, `max_concurrent` of them
    at a time; where fewer than `min_succeeded_percent` of them succeed, it has failed.
    `until`, an expression over its output, runs it again, up to `max_iterations` times, each with the output before.
    `input_fields` names the fields of the workflow's input that it gets, all without it: where a field may be large,
    the steps that do not read it are then not burdened with it.
    `on_failure` says what a step that has given up means for its workflow: "fail" ends it, "skip" goes on and labels
    the result; with "retry" it does not give up on what may pass before the workflow's deadline.
    `may_add` names the agents of which its own may add steps at run time, at most `max_added_steps`.
    `estimated_tokens` is charged at admission.
    `tier` pins the tier of its model calls; without one each call's tier is chosen by its complexity, from
    `min_tier` up.
    `tolerates_delay` says that in the batch queue its model calls may be answered hours later, at half the price.
    `max_input_tokens` and `max_output_tokens` are the most that its model calls take in one attempt, all together;
    both 0 for a step that calls no model. They make the worst case that a dry run shows.
    `caching` is stricter than what the agent declares of its answers; they serve for `cache_ttl_seconds`.
    """

    key: str
    agent: str
    needs: tuple[str, ...] = ()
    for_each: str | None = None
    tier: Tier | None = None
    min_tier: Tier | None = None
    estimated_tokens: int = MINIMUM_STEP_TOKENS
    max_input_tokens: int = 0
    max_output_tokens: int = 0
    max_attempts: int | None = None
    timeout_seconds: int | None = None
    on_failure: str = "fail"
    options: Mapping[str, Any] = field(default_factory=dict)
    input_fields: tuple[str, ...] | None = None
    tolerates_delay: bool = False
    caching: Caching | None = None
    cache_ttl_seconds: int = DEFAULT_TTL_SECONDS
    when: str | None = None
    max_concurrent: int | None = None
    min_succeeded_percent: int = 0
    until: str | None = None
    max_iterations: int | None = None
    may_add: tuple[str, ...] = ()
    max_added_steps: int = 20

    def input_of(self, workflow_input: Mapping[str, Any]) -> Mapping[str, Any]:
        """What this step gets of the workflow's input."""
        if self.input_fields is None:
            return workflow_input
        return {name: workflow_input[name] for name in self.input_fields if name in workflow_input}

    @property
    def list_source(self) -> str | None:
        """The step whose output has the list of a fan-out, or "input"; None without one."""
        return self.for_each.split(".")[0] if self.for_each is not None else None

    @property
    def sources(self) -> frozenset[str]:
        """Every step that must have ended before this one can start."""
        return frozenset(self.needs) | ({self.list_source or INPUT} - {INPUT})

    @property
    def most_iterations(self) -> int:
        """How often it runs at most: once, unless it is a loop."""
        return self.max_iterations or 1

    def runs_for(self, document: Mapping[str, Any]) -> bool:
        """Whether its condition holds of `document`: input, item, previous and the outputs it needs, by name.

        Raises ExpressionError.
        """
        return self.when is None or expressions.holds(self.when, document)


UNUSED: Mapping[str, Any] = {
    "input_fields": None,
    "min_tier": None,
    "tolerates_delay": False,
    "caching": None,
    "cache_ttl_seconds": DEFAULT_TTL_SECONDS,
    "when": None,
    "max_concurrent": None,
    "min_succeeded_percent": 0,
    "until": None,
    "max_iterations": None,
    "may_add": [],
    "max_added_steps": 20,
}
"""What is left out of a step's JSON: fields that came later, where they are not used."""


def step_from_json(data: Mapping[str, Any]) -> StepSpec:
    """The step that was written as JSON. Raises TypeError for a field that it does not know."""
    fields = data.get("input_fields")
    return StepSpec(
        **{
            **data,
            "needs": tuple(data.get("needs", ())),
            "tier": Tier(data["tier"]) if data.get("tier") else None,
            "min_tier": Tier(data["min_tier"]) if data.get("min_tier") else None,
            "input_fields": None if fields is None else tuple(fields),
            "caching": Caching(data["caching"]) if data.get("caching") else None,
            "may_add": tuple(data.get("may_add", ())),
        }
    )


def check_step(where: str, spec: StepSpec, keys: Sequence[str]) -> None:
    """Raises DefinitionError, which names the place, unless it is a legal step among those with `keys`."""
    place = f"{where}, step '{spec.key}'"
    if not KEY.match(spec.key) or spec.key in RESERVED:
        known = ", ".join(sorted(RESERVED))
        raise DefinitionError(f"{place}: a key is lower-case letters, digits and '_', and none of: {known}")
    if keys.count(spec.key) > 1:
        raise DefinitionError(f"{place}: two steps have this key; give each its own")
    for needed in sorted(spec.sources):
        if needed not in keys:
            raise DefinitionError(f"{place}: needs '{needed}', which is not one of the steps {list(keys)}")
    if not 1 <= len(spec.agent) <= MAX_NAME_CHARACTERS:
        raise DefinitionError(f"{place}: an agent's name has 1 to {MAX_NAME_CHARACTERS} characters")
    path = spec.for_each.split(".") if spec.for_each is not None else ["input", "items"]
    if len(path) < 2 or not all(1 <= len(name) <= MAX_NAME_CHARACTERS for name in path):
        raise DefinitionError(f"{place}: for_each must name a list, such as 'input.items' or 'plan.queries'")
    if spec.on_failure not in ("fail", "skip", "retry"):
        raise DefinitionError(f"{place}: on_failure is 'fail', 'skip' or 'retry', not '{spec.on_failure}'")
    for name in (
        "max_attempts",
        "timeout_seconds",
        "estimated_tokens",
        "cache_ttl_seconds",
        "max_concurrent",
    ):
        value = getattr(spec, name)
        if value is not None and value < 1:
            raise DefinitionError(f"{place}: {name} must be at least 1, not {value}")
    for check in (_check_fan_out, _check_condition, _check_loop, _check_adding):
        check(place, spec)


def _check_fan_out(place: str, spec: StepSpec) -> None:
    if not 0 <= spec.min_succeeded_percent <= 100:
        raise DefinitionError(f"{place}: min_succeeded_percent is 0 to 100, not {spec.min_succeeded_percent}")
    if spec.for_each is None and (spec.max_concurrent is not None or spec.min_succeeded_percent):
        raise DefinitionError(
            f"{place}: max_concurrent and min_succeeded_percent are for steps with for_each"
        )
    if spec.min_succeeded_percent and spec.on_failure != "skip":
        raise DefinitionError(
            f"{place}: min_succeeded_percent takes on_failure='skip'; with '{spec.on_failure}' none may fail"
        )


def _check_condition(place: str, spec: StepSpec) -> None:
    if spec.when is None:
        return
    names = _checked(place, "when", spec.when, expressions.names_in)
    known = {
        *spec.needs,
        INPUT,
        *(("item",) if spec.for_each else ()),
        *(("previous",) if spec.until else ()),
    }
    unknown = sorted(names - known)
    if unknown:
        raise DefinitionError(
            f"{place}: when '{spec.when}' speaks of {unknown}; it may speak of {sorted(known)}: add to needs what it reads"
        )
    if INPUT in names and spec.input_fields == ():
        raise DefinitionError(
            f"{place}: when '{spec.when}' reads the input, of which input_fields names nothing"
        )


def _check_loop(place: str, spec: StepSpec) -> None:
    if (spec.until is None) != (spec.max_iterations is None):
        raise DefinitionError(f"{place}: a loop takes both, until and max_iterations")
    if spec.until is None or spec.max_iterations is None:
        return
    _checked(place, "until", spec.until, expressions.names_in)
    if not 1 <= spec.max_iterations <= MAX_ITERATIONS:
        raise DefinitionError(f"{place}: max_iterations is 1 to {MAX_ITERATIONS}, not {spec.max_iterations}")
    if spec.for_each is not None:
        raise DefinitionError(
            f"{place}: a step is a loop or a fan-out; for a loop in each element run a workflow there (run_workflow)"
        )


def _check_adding(place: str, spec: StepSpec) -> None:
    if not spec.may_add:
        return
    if not 1 <= spec.max_added_steps <= MAX_ADDED_STEPS:
        raise DefinitionError(
            f"{place}: max_added_steps is 1 to {MAX_ADDED_STEPS}, not {spec.max_added_steps}"
        )
    if spec.for_each is not None or spec.until is not None:
        raise DefinitionError(f"{place}: a step that may add others is neither a fan-out nor a loop")


def _checked(place: str, name: str, expression: str, look: Callable[[str], frozenset[str]]) -> frozenset[str]:
    try:
        return look(expression)
    except expressions.ExpressionError as error:
        raise DefinitionError(f"{place}: {name} '{expression}' is no JMESPath expression: {error}") from error
