"""Seeded quality: how often each model is right, and that a wrong answer shows."""

import json
from typing import Any

import anthropic
import pytest
from jsonschema import Draft202012Validator

from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.prompts import ask

TIERS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")
SHARES = dict(zip(TIERS, (0.5, 0.75, 0.95), strict=True))
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORMAT: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
PROMPTS = [f"<document>Ada Lovelace was {number} years old.</document>\nHow old?" for number in range(120)]


@pytest.fixture
def graded(simulator: RunningSimulator) -> RunningSimulator:
    """A simulator whose tiers differ in quality."""
    simulator.set_provider("anthropic", quality={"by_model": SHARES, "seed": 3})
    return simulator


def is_right(message: anthropic.types.Message) -> bool:
    """What a step's own check of a text sees."""
    return message.stop_reason == "end_turn" and any(block.type == "text" for block in message.content)


def answer(client: anthropic.Anthropic, model: str, prompt: str, **fields: Any) -> anthropic.types.Message:
    """One answer."""
    return client.messages.create(model=model, max_tokens=200, messages=[ask(prompt)], **fields)


def test_what_a_lesser_model_gets_right_a_better_one_does_too(graded: RunningSimulator) -> None:
    """Nested difficulty; and each tier is right about as often as it was told to be."""
    client = graded.client()
    right = {
        model: {prompt for prompt in PROMPTS if is_right(answer(client, model, prompt))} for model in TIERS
    }
    assert right[TIERS[0]] < right[TIERS[1]] < right[TIERS[2]]
    for model in TIERS:
        assert len(right[model]) / len(PROMPTS) == pytest.approx(SHARES[model], abs=0.12)
    counted = graded.provider("anthropic")["answers"]
    assert {model: counts["right"] for model, counts in counted.items()} == {
        model: len(right[model]) for model in TIERS
    }


def test_the_log_of_calls_tells_right_from_wrong(graded: RunningSimulator) -> None:
    """As the answer does."""
    client = graded.client()
    seen = [is_right(answer(client, TIERS[0], prompt)) for prompt in PROMPTS[:30]]
    assert [call["right"] for call in graded.calls()["calls"]] == seen
    assert set(seen) == {True, False}


def test_a_wrong_answer_is_empty_or_a_refusal(graded: RunningSimulator) -> None:
    """Both occur, and nothing else."""
    client = graded.client()
    wrong = [message for prompt in PROMPTS if not is_right(message := answer(client, TIERS[0], prompt))]
    assert {message.stop_reason for message in wrong} == {"end_turn", "refusal"}
    assert all(message.content == [] for message in wrong)
    refusal = next(message for message in wrong if message.stop_reason == "refusal")
    assert refusal.stop_details is not None
    assert refusal.stop_details.type == "refusal"


def test_a_wrong_answer_to_a_schema_does_not_fit_it(graded: RunningSimulator) -> None:
    """A field is missing or of another type; a right one fits."""
    client = graded.client()
    validator = Draft202012Validator(SCHEMA)
    fits, broken = [], []
    for prompt in PROMPTS[:60]:
        message = answer(client, TIERS[0], prompt, output_config=FORMAT)
        value = json.loads(message.content[0].text)
        fits.append(validator.is_valid(value))
        if not fits[-1]:
            broken.append(value)
    assert [call["right"] for call in graded.calls()["calls"]] == fits
    assert any(len(value) == 1 for value in broken), "a field is missing"
    assert any(len(value) == 2 for value in broken), "a field has another type"


def test_a_wrong_tool_call_does_not_fit_its_schema(graded: RunningSimulator) -> None:
    """So that the tool's own check refuses it."""
    client = graded.client()
    tool: Any = {"name": "person", "input_schema": SCHEMA}
    fits = []
    for prompt in PROMPTS[:30]:
        message = answer(client, TIERS[0], prompt, tools=[tool], tool_choice={"type": "any"})
        fits.append(Draft202012Validator(SCHEMA).is_valid(message.content[0].input))
    assert [call["right"] for call in graded.calls()["calls"]] == fits
    assert set(fits) == {True, False}


def test_the_same_prompt_is_as_hard_whatever_surrounds_it(graded: RunningSimulator) -> None:
    """Breakpoints, limits and streaming do not count; the seed does."""
    client = graded.client()

    def outcomes() -> list[bool]:
        return [is_right(answer(client, TIERS[0], prompt)) for prompt in PROMPTS[:40]]

    first = outcomes()
    marked = []
    for prompt in PROMPTS[:40]:
        block: Any = {"type": "text", "text": prompt, "cache_control": {"type": "ephemeral"}}
        with client.messages.stream(
            model=TIERS[0], max_tokens=300, messages=[{"role": "user", "content": [block]}]
        ) as stream:
            marked.append(is_right(stream.get_final_message()))
    plain = []
    for prompt in PROMPTS[:40]:
        unmarked: Any = {"role": "user", "content": [{"type": "text", "text": prompt}]}
        plain.append(is_right(client.messages.create(model=TIERS[0], max_tokens=200, messages=[unmarked])))
    assert marked == plain
    assert outcomes() == first
    graded.set_provider("anthropic", quality={"by_model": SHARES, "seed": 4})
    assert outcomes() != first


def test_a_provider_without_quality_is_always_right(simulator: RunningSimulator) -> None:
    """And so is a model that is not named."""
    client = simulator.client()
    assert all(is_right(answer(client, TIERS[0], prompt)) for prompt in PROMPTS[:20])
    assert simulator.calls()["calls"][-1]["right"] is None
    simulator.set_provider("anthropic", quality={"by_model": {TIERS[0]: 0}})
    assert is_right(answer(client, TIERS[1], PROMPTS[0]))
    assert not is_right(answer(client, TIERS[0], PROMPTS[0]))
    simulator.set_provider("anthropic", quality=None)
    assert is_right(answer(client, TIERS[0], PROMPTS[0]))
