"""Workflow definitions: a versioned graph of steps, declared in Python and stored as JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agentplatform.llm.caching.policy import DEFAULT_TTL_SECONDS, Caching
from agentplatform.llm.tiers import Tier

_KEY = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
MAX_NAME_CHARACTERS = 64
MAX_TITLE_CHARACTERS = 200
INPUT = "input"
"""The name under which a workflow's own input is referred to in `for_each`."""

MINIMUM_STEP_TOKENS = 100
"""What admission charges a step that calls no model: coordination is cheap, but not free."""


MAX_FAN_OUT = 10_000
"""The most elements that a fan-out runs over: each is a step, with rows and a place in the queue of its own."""


class DefinitionError(ValueError):
    """A definition is wrong; the message names the place and how to mend it."""


class FanOutError(DefinitionError):
    """What a fan-out should run over is no list, or too long a one. `path` is where it was looked for."""

    def __init__(self, code: str, message: str, path: Sequence[str]) -> None:
        super().__init__(message)
        self.code = code
        self.path = tuple(path)


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One node of a definition.

    `needs` names the steps whose outputs it reads. `for_each` ("input.items" or "plan.queries") runs it once
    for every element of that list. `input_fields` names the fields of the workflow's input that it gets, all
    without it: where a field may be large, the steps that do not read it are then not burdened with it.
    `on_failure` says what a step that has given up means for its workflow: "fail" ends it, "skip" goes on and
    labels the result. `estimated_tokens` is charged at admission.
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

    def input_of(self, workflow_input: Mapping[str, Any]) -> Mapping[str, Any]:
        """What this step gets of the workflow's input."""
        if self.input_fields is None:
            return workflow_input
        return {name: workflow_input[name] for name in self.input_fields if name in workflow_input}

    @property
    def sources(self) -> frozenset[str]:
        """Every step that must have ended before this one can start."""
        source = self.for_each.split(".")[0] if self.for_each else INPUT
        return frozenset(self.needs) | (frozenset() if source == INPUT else frozenset({source}))


@dataclass(frozen=True, slots=True)
class SessionUse:
    """How a definition's runs take part in sessions: the field of the input that is said, and that of the result which
    answers it. Where it `is_required`, a submission without a session is refused.
    """

    said: str
    answered: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """The template of a workflow: what it takes (`input_schema`), its steps, and which step is the result.

    `input_checks` names registered checks of what a JSON Schema cannot say of an input.
    With `cache_ttl_seconds` the result of a run is given again for so long to the same input, `volatile_fields` of it
    left out, while all that it `depends_on` (names of registered versions, such as "knowledge") is as it was.
    One that `is_internal` is started by the platform alone; tenants see neither it nor its runs, but what they cost.
    With `session` a submission may name a session: its turns are kept, and agents can look back on them.
    """

    type: str
    title: str
    description: str
    input_schema: Mapping[str, Any]
    steps: tuple[StepSpec, ...]
    result: str
    examples: tuple[Mapping[str, Any], ...] = ()
    allow_partial: bool = False
    input_checks: tuple[str, ...] = ()
    cache_ttl_seconds: int | None = None
    volatile_fields: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    is_internal: bool = False
    session: SessionUse | None = None

    def __post_init__(self) -> None:
        _check(self)

    def step(self, key: str) -> StepSpec:
        """The step with this key; KeyError if there is none."""
        for spec in self.steps:
            if spec.key == key:
                return spec
        raise KeyError(key)

    def dependents(self, key: str) -> tuple[StepSpec, ...]:
        """The steps that wait for `key`."""
        return tuple(spec for spec in self.steps if key in spec.sources)

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal definition.

        What was added to definitions later is left out where it is not used: the content of those that do not use
        it, and with it their version, stays.
        """
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for name in (
            "input_checks",
            "cache_ttl_seconds",
            "volatile_fields",
            "depends_on",
            "is_internal",
            "session",
        ):
            if not data[name]:
                del data[name]
        for spec in data["steps"]:
            for name, unused in _UNUSED.items():
                if spec[name] == unused:
                    del spec[name]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The definition that `to_json` wrote; raises DefinitionError where it is not a legal one."""
        steps = tuple(_step_from_json(spec) for spec in data["steps"])
        lists = {
            name: tuple(data.get(name, ()))
            for name in ("examples", "input_checks", "volatile_fields", "depends_on")
        }
        session = SessionUse(**data["session"]) if data.get("session") else None
        return cls(**{**data, **lists, "steps": steps, "session": session})

    @property
    def content_hash(self) -> str:
        """SHA-256 over the canonical JSON: a change of content is a new version."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


_UNUSED = {
    "input_fields": None,
    "min_tier": None,
    "tolerates_delay": False,
    "caching": None,
    "cache_ttl_seconds": DEFAULT_TTL_SECONDS,
}
"""What is left out of a step's JSON: fields that came later, where they are not used."""


def _step_from_json(data: Mapping[str, Any]) -> StepSpec:
    fields = data.get("input_fields")
    return StepSpec(
        **{
            **data,
            "needs": tuple(data["needs"]),
            "tier": Tier(data["tier"]) if data["tier"] else None,
            "min_tier": Tier(data["min_tier"]) if data.get("min_tier") else None,
            "input_fields": None if fields is None else tuple(fields),
            "caching": Caching(data["caching"]) if data.get("caching") else None,
        }
    )


def _check(definition: Definition) -> None:
    where = f"definition '{definition.type}'"
    if not _KEY.match(definition.type):
        raise DefinitionError(
            f"{where}: a type is lower-case letters, digits and '_', starting with a letter"
        )
    if not 1 <= len(definition.title) <= MAX_TITLE_CHARACTERS:
        raise DefinitionError(f"{where}: a title has 1 to {MAX_TITLE_CHARACTERS} characters")
    if not definition.steps:
        raise DefinitionError(f"{where}: has no steps; give it at least one")
    keys = [spec.key for spec in definition.steps]
    fan_outs = {spec.key for spec in definition.steps if spec.for_each is not None}
    for spec in definition.steps:
        _check_step(where, spec, keys)
        if spec.for_each is not None and spec.for_each.split(".")[0] in fan_outs:
            raise DefinitionError(
                f"{where}, step '{spec.key}': for_each reads '{spec.for_each}', itself one output per element; "
                "collect it in a step of its own first"
            )
    if definition.cache_ttl_seconds is not None and definition.cache_ttl_seconds < 1:
        raise DefinitionError(
            f"{where}: cache_ttl_seconds must be at least 1, not {definition.cache_ttl_seconds}"
        )
    if definition.session is not None:
        _check_session(where, definition, definition.session)
    if definition.result not in keys:
        raise DefinitionError(f"{where}: result '{definition.result}' is not one of its steps {keys}")
    _check_acyclic(where, definition.steps)
    try:
        Draft202012Validator.check_schema(dict(definition.input_schema))
    except SchemaError as error:
        raise DefinitionError(f"{where}: input_schema is not a JSON Schema: {error.message}") from error


def _check_session(where: str, definition: Definition, use: SessionUse) -> None:
    if definition.is_internal:
        raise DefinitionError(f"{where}: one that the platform starts itself has no session")
    if definition.input_schema.get("properties", {}).get(use.said, {}).get("type") != "string":
        raise DefinitionError(
            f"{where}: session names the field '{use.said}' as what is said; input_schema must have it, of the "
            "type string"
        )
    if not use.answered:
        raise DefinitionError(f"{where}: session must name the field of the result that answers")


def _check_step(where: str, spec: StepSpec, keys: Sequence[str]) -> None:
    place = f"{where}, step '{spec.key}'"
    if not _KEY.match(spec.key) or spec.key == INPUT:
        raise DefinitionError(f"{place}: a key is lower-case letters, digits and '_', and not '{INPUT}'")
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
    if spec.on_failure not in ("fail", "skip"):
        raise DefinitionError(f"{place}: on_failure is 'fail' or 'skip', not '{spec.on_failure}'")
    for name in ("max_attempts", "timeout_seconds", "estimated_tokens", "cache_ttl_seconds"):
        value = getattr(spec, name)
        if value is not None and value < 1:
            raise DefinitionError(f"{place}: {name} must be at least 1, not {value}")


def _check_acyclic(where: str, steps: Iterable[StepSpec]) -> None:
    """Kahn's algorithm: what cannot be taken off is in a cycle."""
    remaining = {spec.key: set(spec.sources) for spec in steps}
    while free := {key for key, sources in remaining.items() if not sources}:
        remaining = {key: sources - free for key, sources in remaining.items() if key not in free}
    if remaining:
        raise DefinitionError(f"{where}: steps {sorted(remaining)} wait for each other in a circle")


def list_at(path: Sequence[str], document: Any) -> list[Any]:
    """The list at `path` inside `document`, of at most MAX_FAN_OUT elements; raises FanOutError."""
    value = document
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    place = ".".join(path)
    if not isinstance(value, list):
        message = f"for_each needs a list at '{place}', found {type(value).__name__}"
        raise FanOutError("output_mismatch", message, path)
    if len(value) > MAX_FAN_OUT:
        message = (
            f"the list at '{place}' has {len(value)} elements, and a fan-out runs over at most {MAX_FAN_OUT}; "
            "make it shorter, or give each element more to do"
        )
        raise FanOutError("fan_out_too_large", message, path)
    return value
