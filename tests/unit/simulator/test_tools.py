"""Tool use: which tool is called, with what input, and what is said after its result."""

from typing import Any

import anthropic
import pytest
from jsonschema import Draft202012Validator

from tests.unit.simulator.prompts import ask

HAIKU = "claude-haiku-5-5"
WEATHER = {
    "name": "get_weather",
    "description": "Current weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
    },
}
CALCULATOR = {
    "name": "calculator",
    "description": "Evaluates an arithmetic expression.",
    "input_schema": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
}
SEARCH = {
    "name": "search_knowledge_base",
    "description": "Searches the knowledge base for passages.",
    "input_schema": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 3},
            "limit": {"type": "integer", "minimum": 1},
        },
        "required": ["query", "limit"],
    },
}
QUERY = {
    "name": "json_query",
    "description": "Queries JSON with a JMESPath expression.",
    "input_schema": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
}
FETCH = {
    "name": "http_fetch",
    "description": "Fetches a web page by its URL.",
    "input_schema": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
}
TOOLS = [WEATHER, CALCULATOR, SEARCH, QUERY, FETCH]


def call(client: anthropic.Anthropic, text: str, tools: list[Any], **fields: Any) -> anthropic.types.Message:
    """One request with tools."""
    return client.messages.create(model=HAIKU, max_tokens=300, messages=[ask(text)], tools=tools, **fields)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("What is the weather in Paris in celsius?", "get_weather", {"city": "Paris", "unit": "celsius"}),
        ("What is 12 * (3 + 4)?", "calculator", {"expression": "12 * (3 + 4)"}),
        ("Query the orders with `orders[0].id`, please.", "json_query", {"expression": "orders[0].id"}),
        (
            "What does https://pages.example.test/harbour say of the tide?",
            "http_fetch",
            {"url": "https://pages.example.test/harbour"},
        ),
    ],
)
def test_the_tool_that_matches_the_request_is_called(
    client: anthropic.Anthropic, text: str, name: str, expected: dict[str, str]
) -> None:
    """With input filled from the request."""
    message = call(client, text, TOOLS)
    assert message.stop_reason == "tool_use"
    block = message.content[-1]
    assert (block.type, block.name, block.input) == ("tool_use", name, expected)
    assert block.id.startswith("toolu_")


def test_a_question_without_material_is_searched_for(client: anthropic.Anthropic) -> None:
    """A retrieval tool is called with the question as its query, and input that satisfies its schema."""
    message = call(client, "How long does a lease last?", TOOLS)
    assert message.content[-1].name == "search_knowledge_base"
    assert message.content[-1].input["query"] == "How long does a lease last?"
    Draft202012Validator(SEARCH["input_schema"]).validate(message.content[-1].input)


def test_no_tool_is_called_that_the_request_has_nothing_to_do_with(client: anthropic.Anthropic) -> None:
    """Text is answered instead."""
    message = call(client, "Please greet the new colleague.", [WEATHER, CALCULATOR])
    assert message.stop_reason == "end_turn"


def test_no_tool_is_called_where_the_caller_forbids_it(client: anthropic.Anthropic) -> None:
    """`tool_choice` none."""
    message = call(client, "What is the weather in Paris?", TOOLS, tool_choice={"type": "none"})
    assert message.stop_reason == "end_turn"


def test_a_forced_tool_is_called_whatever_was_asked(client: anthropic.Anthropic) -> None:
    """By name, and as `any`."""
    named = call(client, "Hello.", TOOLS, tool_choice={"type": "tool", "name": "get_weather"})
    assert named.content[-1].name == "get_weather"
    Draft202012Validator(WEATHER["input_schema"]).validate(named.content[-1].input)
    assert call(client, "Hello.", TOOLS, tool_choice={"type": "any"}).stop_reason == "tool_use"


def test_the_answer_after_a_result_is_taken_from_it(client: anthropic.Anthropic) -> None:
    """The tool is not called again, and its result is in the text."""
    text = after_result(client, "What is the weather in Paris?", '{"sky": "clear", "degrees": 21}')
    assert "clear" in text
    assert "21" in text


def test_passages_from_a_tool_are_cited(client: anthropic.Anthropic) -> None:
    """A JSON list of texts is read as passages."""
    found = (
        '[{"id": 3, "title": "Leases", "text": "A lease lasts fifteen seconds."},'
        ' {"id": 4, "text": "Cats sleep a lot."}]'
    )
    assert after_result(client, "How long does a lease last?", found) == "A lease lasts fifteen seconds. [3]"


def test_a_result_may_come_in_an_object_with_notes(client: anthropic.Anthropic) -> None:
    """What it holds is read as if it stood alone."""
    found = '{"result": {"passages": [{"text": "A lease lasts fifteen seconds."}]}, "notes": ["Cut."]}'
    assert after_result(client, "How long does a lease last?", found) == "A lease lasts fifteen seconds. [1]"
    text = after_result(client, "What is the weather?", '{"error": "station offline"}', is_error=True)
    assert text.endswith("station offline")


def test_a_failed_tool_is_reported(client: anthropic.Anthropic) -> None:
    """The error's text is passed on, not made up for."""
    text = after_result(client, "What is the weather in Paris?", "station offline", is_error=True)
    assert "error" in text
    assert "station offline" in text


def test_two_tools_that_match_are_called_one_after_the_other(client: anthropic.Anthropic) -> None:
    """Each is called once for a request."""
    question = "Get the weather in Paris, and calculate the expression 2 + 3."
    turns: list[Any] = [ask(question)]
    called = []
    for _ in range(3):
        message = client.messages.create(
            model=HAIKU, max_tokens=300, messages=turns, tools=[WEATHER, CALCULATOR]
        )
        if message.stop_reason != "tool_use":
            break
        block = message.content[-1]
        called.append(block.name)
        result = {"type": "tool_result", "tool_use_id": block.id, "content": "5"}
        turns += [message.to_param(), {"role": "user", "content": [result]}]
    assert sorted(called) == ["calculator", "get_weather"]
    assert message.stop_reason == "end_turn"


def test_a_call_too_long_for_max_tokens_is_cut(client: anthropic.Anthropic) -> None:
    """The stop reason says so and the input still parses."""
    message = client.messages.create(
        model=HAIKU, max_tokens=3, messages=[ask("What is the weather in Paris?")], tools=[WEATHER]
    )
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 3
    assert message.content[-1].input == {}


def after_result(client: anthropic.Anthropic, question: str, result: str, *, is_error: bool = False) -> str:
    """Ask, let the tool return `result`, and return the text of the final answer."""
    first = call(client, question, TOOLS)
    block = first.content[-1]
    returned = {"type": "tool_result", "tool_use_id": block.id, "content": result, "is_error": is_error}
    final = client.messages.create(
        model=HAIKU,
        max_tokens=300,
        tools=TOOLS,
        messages=[ask(question), first.to_param(), {"role": "user", "content": [returned]}],
    )
    assert final.stop_reason == "end_turn"
    return final.content[0].text
