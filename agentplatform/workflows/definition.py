"""Workflow definitions: a versioned graph of steps, declared in Python and stored as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agentplatform.workflows.step_spec import (
    INPUT,
    KEY,
    MAX_NAME_CHARACTERS,
    MINIMUM_STEP_TOKENS,
    UNUSED,
    DefinitionError,
    StepSpec,
    check_step,
    step_from_json,
)

__all__ = [
    "INPUT",
    "MAX_DEADLINE_SECONDS",
    "MAX_FAN_OUT",
    "MAX_NAME_CHARACTERS",
    "MINIMUM_STEP_TOKENS",
    "AddedSteps",
    "Definition",
    "DefinitionError",
    "FanOutError",
    "StepSpec",
    "list_at",
]

MAX_DEADLINE_SECONDS = 7 * 86_400
"""The most time that a run may be given."""

MAX_TITLE_CHARACTERS = 200

MAX_FAN_OUT = 10_000
"""The most elements that a fan-out runs over: each is a step, with rows and a place in the queue of its own."""


class FanOutError(DefinitionError):
    """What a fan-out should run over is no list, or too long a one. `path` is where it was looked for."""

    def __init__(self, code: str, message: str, path: Sequence[str]) -> None:
        super().__init__(message)
        self.code = code
        self.path = tuple(path)


@dataclass(frozen=True, slots=True)
class AddedSteps:
    """Steps that the agent of step `by` has added to its run; all of them need that step."""

    by: str
    steps: tuple[StepSpec, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal one."""
        return {"by": self.by, "steps": [step_to_json(spec) for spec in self.steps]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(data["by"], tuple(step_from_json(spec) for spec in data["steps"]))


def step_to_json(spec: StepSpec) -> dict[str, Any]:
    """A step's JSON, without what was added to steps later where it is not used."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(spec)))
    return {name: value for name, value in data.items() if name not in UNUSED or value != UNUSED[name]}


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
    A run that is submitted without one has a deadline after `deadline_seconds`; without those, its queue's.
    One that `is_named_only` is never chosen for an input that names no type: inputs of its shape mean others too.
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
    deadline_seconds: int | None = None
    session: SessionUse | None = None
    is_named_only: bool = False

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

    def fan_outs_over(self, key: str) -> tuple[StepSpec, ...]:
        """The steps whose list is in the output of `key`."""
        return tuple(spec for spec in self.steps if spec.list_source == key)

    def extended(self, added: Iterable[AddedSteps]) -> Definition:
        """This definition with steps that agents have added to a run.

        What waits for the step whose agent has added them waits for them as well, and gets their outputs. Raises
        DefinitionError.
        """
        steps = list(self.steps)
        for addition in added:
            new = tuple(spec.key for spec in addition.steps)
            steps = [
                replace(spec, needs=(*spec.needs, *new)) if addition.by in spec.sources else spec
                for spec in steps
            ]
            steps += [
                replace(spec, needs=tuple(dict.fromkeys((*spec.needs, addition.by))))
                for spec in addition.steps
            ]
        return replace(self, steps=tuple(steps)) if len(steps) > len(self.steps) else self

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
            "deadline_seconds",
            "session",
            "is_named_only",
        ):
            if not data[name]:
                del data[name]
        return {**data, "steps": [step_to_json(spec) for spec in self.steps]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The definition that `to_json` wrote; raises DefinitionError where it is not a legal one."""
        steps = tuple(step_from_json(spec) for spec in data["steps"])
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


def _check(definition: Definition) -> None:
    where = f"definition '{definition.type}'"
    if not KEY.match(definition.type):
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
        check_step(where, spec, keys)
        if spec.list_source in fan_outs:
            raise DefinitionError(
                f"{where}, step '{spec.key}': for_each reads '{spec.for_each}', itself one output per element; "
                "collect it in a step of its own first"
            )
    if definition.cache_ttl_seconds is not None and definition.cache_ttl_seconds < 1:
        raise DefinitionError(
            f"{where}: cache_ttl_seconds must be at least 1, not {definition.cache_ttl_seconds}"
        )
    if (
        definition.deadline_seconds is not None
        and not 1 <= definition.deadline_seconds <= MAX_DEADLINE_SECONDS
    ):
        raise DefinitionError(
            f"{where}: deadline_seconds is 1 to {MAX_DEADLINE_SECONDS}, not {definition.deadline_seconds}"
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
