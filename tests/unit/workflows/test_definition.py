"""Definitions are checked where they are made, with errors that name the place."""

from __future__ import annotations

from typing import Any

import pytest

from agentplatform.workflows.definition import Definition, DefinitionError, SessionUse, StepSpec


def define(*steps: StepSpec, **changes: Any) -> Definition:
    fields: dict[str, Any] = {
        "type": "sample",
        "title": "Sample",
        "description": "",
        "input_schema": {"type": "object"},
        "steps": steps,
        "result": steps[-1].key if steps else "",
        **changes,
    }
    return Definition(**fields)


ONE = StepSpec("one", "agent")


@pytest.mark.parametrize(
    ("steps", "changes", "message"),
    [
        ((), {}, "definition 'sample': has no steps"),
        ((ONE,), {"type": "No Good"}, "definition 'No Good': a type is lower-case"),
        ((ONE, ONE), {}, "step 'one': two steps have this key"),
        ((StepSpec("input", "agent"),), {}, "step 'input': a key is lower-case"),
        ((StepSpec("one", "agent", needs=("two",)),), {}, "step 'one': needs 'two', which is not one of"),
        ((ONE,), {"result": "two"}, "result 'two' is not one of its steps"),
        (
            (StepSpec("one", "agent", needs=("two",)), StepSpec("two", "agent", needs=("one",))),
            {},
            "wait for each other in a circle",
        ),
        ((StepSpec("one", "agent", for_each="input"),), {}, "step 'one': for_each must name a list"),
        ((StepSpec("one", "agent", for_each="input."),), {}, "step 'one': for_each must name a list"),
        ((StepSpec("one", "agent", for_each="input..a"),), {}, "step 'one': for_each must name a list"),
        ((StepSpec("one", "agent", for_each=""),), {}, "step 'one': for_each must name a list"),
        (
            (StepSpec("one", "agent", for_each="nope.items"),),
            {},
            "step 'one': needs 'nope', which is not one",
        ),
        (
            (StepSpec("one", "agent", for_each=f"input.{'x' * 65}"),),
            {},
            "step 'one': for_each must name a list",
        ),
        ((StepSpec("one", ""),), {}, "step 'one': an agent's name has 1 to 64 characters"),
        ((StepSpec("one", "x" * 65),), {}, "step 'one': an agent's name has 1 to 64 characters"),
        ((StepSpec("one", "agent", needs=("one",)),), {}, "wait for each other in a circle"),
        ((ONE,), {"title": ""}, "a title has 1 to 200 characters"),
        ((ONE,), {"title": "x" * 201}, "a title has 1 to 200 characters"),
        ((StepSpec("one", "agent", timeout_seconds=0),), {}, "timeout_seconds must be at least 1"),
        ((StepSpec("one", "agent", estimated_tokens=0),), {}, "estimated_tokens must be at least 1"),
        (
            (
                StepSpec("one", "agent", for_each="input.items"),
                StepSpec("two", "agent", for_each="one.items"),
            ),
            {},
            "step 'two': for_each reads 'one.items', itself one output per element",
        ),
        (
            (StepSpec("one", "agent", on_failure="explode"),),
            {},
            "step 'one': on_failure is 'fail', 'skip' or 'retry'",
        ),
        ((StepSpec("one", "agent", max_attempts=0),), {}, "step 'one': max_attempts must be at least 1"),
        ((ONE,), {"input_schema": {"type": "nonsense"}}, "input_schema is not a JSON Schema"),
        ((StepSpec("item", "agent"),), {}, "step 'item': a key is lower-case letters"),
        ((ONE, StepSpec("two", "agent", when="one.a ==")), {}, "step 'two': when 'one.a ==' is no JMESPath"),
        ((ONE, StepSpec("two", "agent", when="one.a")), {}, "step 'two': when 'one.a' speaks of ['one']"),
        ((StepSpec("one", "agent", when="item.a"),), {}, "step 'one': when 'item.a' speaks of ['item']"),
        (
            (StepSpec("one", "agent", when="input.a", input_fields=()),),
            {},
            "step 'one': when 'input.a' reads the input, of which input_fields names nothing",
        ),
        ((StepSpec("one", "agent", until="done"),), {}, "a loop takes both, until and max_iterations"),
        (
            (StepSpec("one", "agent", until="done", max_iterations=101),),
            {},
            "step 'one': max_iterations is 1 to 100, not 101",
        ),
        (
            (StepSpec("one", "agent", until="done", max_iterations=2, for_each="input.items"),),
            {},
            "step 'one': a step is a loop or a fan-out",
        ),
        ((StepSpec("one", "agent", max_concurrent=2),), {}, "are for steps with for_each"),
        (
            (StepSpec("one", "agent", for_each="input.items", max_concurrent=0),),
            {},
            "max_concurrent must be at least 1",
        ),
        (
            (StepSpec("one", "agent", for_each="input.items", min_succeeded_percent=50),),
            {},
            "min_succeeded_percent takes on_failure='skip'",
        ),
        ((StepSpec("one", "agent", may_add=("x",), max_added_steps=0),), {}, "max_added_steps is 1 to 100"),
        (
            (StepSpec("one", "agent", may_add=("x",), for_each="input.items"),),
            {},
            "a step that may add others is neither",
        ),
        ((ONE,), {"deadline_seconds": 0}, "deadline_seconds is 1 to 604800, not 0"),
        (
            (ONE,),
            {"session": SessionUse("said", "answered")},
            "session names the field 'said' as what is said",
        ),
        (
            (ONE,),
            {"session": SessionUse("said", ""), "input_schema": {"properties": {"said": {"type": "string"}}}},
            "session must name the field of the result that answers",
        ),
        ((ONE,), {"session": SessionUse("said", "a"), "is_internal": True}, "has no session"),
    ],
)
def test_a_wrong_definition_is_refused_at_its_place(
    steps: tuple[StepSpec, ...], changes: dict[str, Any], message: str
) -> None:
    """The message says what is wrong where."""
    with pytest.raises(DefinitionError) as caught:
        define(*steps, **changes)
    assert message in str(caught.value)


def test_a_definition_survives_its_journey_as_json() -> None:
    """What is stored is what is run."""
    definition = define(
        StepSpec("one", "agent", options={"limit": 3}, max_attempts=2),
        StepSpec("two", "agent", needs=("one",), for_each="one.items", on_failure="skip"),
        StepSpec("three", "agent", input_fields=("a", "b")),
        StepSpec("four", "agent", input_fields=()),
        StepSpec(
            "five",
            "agent",
            needs=("one",),
            when="one.a",
            for_each="input.x",
            max_concurrent=3,
            on_failure="skip",
        ),
        StepSpec("six", "agent", until="done", max_iterations=3),
        StepSpec("seven", "agent", may_add=("agent",), max_added_steps=5),
        input_checks=("exists",),
        examples=({"a": 1},),
        deadline_seconds=5,
        input_schema={"properties": {"said": {"type": "string"}}},
        session=SessionUse("said", "answered", is_required=True),
    )
    assert Definition.from_json(definition.to_json()) == definition


def test_a_definition_that_uses_nothing_new_keeps_its_version() -> None:
    """What was added later is not in its content."""
    content = define(ONE).to_json()
    assert "input_checks" not in content
    assert "is_internal" not in content
    assert "session" not in content
    assert Definition.from_json(define(ONE, is_internal=True).to_json()).is_internal
    assert "input_fields" not in content["steps"][0]


def test_a_step_gets_the_fields_of_the_input_that_it_names() -> None:
    """As far as they are there; all where it names none."""
    given = {"a": 1, "b": 2}
    assert StepSpec("one", "agent", input_fields=("b", "c")).input_of(given) == {"b": 2}
    assert StepSpec("one", "agent", input_fields=()).input_of(given) == {}
    assert ONE.input_of(given) is given


def test_a_change_of_content_changes_the_hash() -> None:
    """So that it is stored as a new version; the same content keeps its hash."""
    assert define(ONE).content_hash == define(ONE).content_hash
    assert define(ONE).content_hash != define(StepSpec("one", "other")).content_hash
