"""`POST /v1/messages` as the SDK sees it: content, usage, stop reasons, headers."""

import json
import re

import anthropic
import pytest
from pydantic import BaseModel

from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.prompts import LEASE_ANSWER, LEASE_PROMPT, ask

HAIKU = "claude-haiku-5-5"


def test_a_message_answers_from_the_passages_with_a_citation(client: anthropic.Anthropic) -> None:
    """The whole object: role, model, text, stop reason and usage."""
    message = client.messages.create(model=HAIKU, max_tokens=200, messages=[ask(LEASE_PROMPT)])
    assert message.role == "assistant"
    assert message.model == HAIKU
    assert message.id.startswith("msg_")
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == LEASE_ANSWER
    assert message.stop_reason == "end_turn"
    assert message.stop_sequence is None


def test_usage_has_every_bucket(client: anthropic.Anthropic) -> None:
    """Input and output tokens, cache fields by time to live, and the service tier."""
    usage = client.messages.create(model=HAIKU, max_tokens=200, messages=[ask(LEASE_PROMPT)]).usage
    assert usage.output_tokens == -(-len(LEASE_ANSWER.encode()) // 4)
    assert usage.input_tokens > len(LEASE_PROMPT) // 4
    assert usage.cache_creation_input_tokens == 0
    assert usage.cache_read_input_tokens == 0
    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_5m_input_tokens == 0
    assert usage.cache_creation.ephemeral_1h_input_tokens == 0
    assert usage.service_tier == "standard"


def test_the_same_request_gets_the_same_answer_under_a_new_id(client: anthropic.Anthropic) -> None:
    """Text and usage repeat; ids never do."""
    first, second = (
        client.messages.create(model=HAIKU, max_tokens=200, messages=[ask(LEASE_PROMPT)]) for _ in range(2)
    )
    assert first.content == second.content
    assert first.usage == second.usage
    assert first.id != second.id


def test_every_response_says_which_request_it_was_and_who_made_it(client: anthropic.Anthropic) -> None:
    """`request-id`, `x-simulator` and the four families of rate-limit headers."""
    raw = client.messages.with_raw_response.create(model=HAIKU, max_tokens=200, messages=[ask(LEASE_PROMPT)])
    assert raw.headers["request-id"].startswith("req_")
    assert raw.headers["x-simulator"] == "agentplatform"
    assert raw.parse()._request_id == raw.headers["request-id"]
    for family in ("requests", "tokens", "input-tokens", "output-tokens"):
        limit = int(raw.headers[f"anthropic-ratelimit-{family}-limit"])
        assert 0 < int(raw.headers[f"anthropic-ratelimit-{family}-remaining"]) < limit
        reset_at = raw.headers[f"anthropic-ratelimit-{family}-reset"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", reset_at)


@pytest.mark.parametrize("limit", [1, 5, 13])
def test_an_answer_stops_at_max_tokens(client: anthropic.Anthropic, limit: int) -> None:
    """The text is a prefix of the whole answer and counts exactly the limit."""
    message = client.messages.create(model=HAIKU, max_tokens=limit, messages=[ask(LEASE_PROMPT)])
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == limit
    assert LEASE_ANSWER.startswith(message.content[0].text)


def test_zero_max_tokens_writes_nothing(client: anthropic.Anthropic) -> None:
    """As the API does for warming its cache."""
    message = client.messages.create(model=HAIKU, max_tokens=0, messages=[ask(LEASE_PROMPT)])
    assert message.content == []
    assert message.usage.output_tokens == 0


def test_an_answer_stops_before_the_first_stop_sequence(client: anthropic.Anthropic) -> None:
    """Of several sequences the one that comes first ends it, and is named."""
    message = client.messages.create(
        model=HAIKU, max_tokens=200, messages=[ask(LEASE_PROMPT)], stop_sequences=["zebra", "[2]", "renewed"]
    )
    assert message.stop_reason == "stop_sequence"
    assert message.stop_sequence == "renewed"
    assert message.content[0].text == LEASE_ANSWER.split("renewed")[0]


def test_max_tokens_wins_over_a_later_stop_sequence(client: anthropic.Anthropic) -> None:
    """Whichever limit comes first is the reason."""
    message = client.messages.create(
        model=HAIKU, max_tokens=2, messages=[ask(LEASE_PROMPT)], stop_sequences=["renewed"]
    )
    assert message.stop_reason == "max_tokens"
    assert message.stop_sequence is None


def test_a_label_is_answered_alone(client: anthropic.Anthropic) -> None:
    """Nothing but the label stands in the reply."""
    prompt = "<question>My card was charged twice</question><labels>billing, technical, other</labels>"
    message = client.messages.create(model=HAIKU, max_tokens=10, messages=[ask(prompt)])
    assert message.content[0].text == "billing"


def test_structured_output_parses_into_the_callers_type(client: anthropic.Anthropic) -> None:
    """The SDK's `parse` sends `output_config.format` and reads the answer back."""

    class Invoice(BaseModel):
        invoice_number: str
        total: float
        paid: bool

    document = "<document>Invoice number: A-17\nTotal: EUR 99.50\nPaid: yes</document>"
    message = client.messages.parse(
        model=HAIKU, max_tokens=200, messages=[ask(document)], output_format=Invoice
    )
    assert message.parsed_output == Invoice(invoice_number="A-17", total=99.5, paid=True)


def test_a_schema_in_the_prompt_is_answered_in_json(client: anthropic.Anthropic) -> None:
    """The `<schema>` convention needs no parameter."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    prompt = f"<document>City: Turin</document><schema>{json.dumps(schema)}</schema>"
    message = client.messages.create(model=HAIKU, max_tokens=100, messages=[ask(prompt)])
    assert json.loads(message.content[0].text) == {"city": "Turin"}


def test_a_document_block_is_read_like_a_document_tag(client: anthropic.Anthropic) -> None:
    """Text sources of document blocks are material to answer from."""
    source = {"type": "text", "media_type": "text/plain", "data": "The depot is in Genoa. It opens at nine."}
    content = [{"type": "document", "source": source}, {"type": "text", "text": "Where is the depot?"}]
    message = client.messages.create(
        model=HAIKU, max_tokens=100, messages=[{"role": "user", "content": content}]
    )
    assert message.content[0].text == "The depot is in Genoa."


def test_an_earlier_turn_is_remembered(client: anthropic.Anthropic) -> None:
    """A question without material of its own is answered from what the user said before."""
    turns = [
        ask("My name is Ada and I live in Turin. I keep bees."),
        {"role": "assistant", "content": "Noted."},
        ask("Where do I live?"),
    ]
    message = client.messages.create(model=HAIKU, max_tokens=100, messages=turns)
    assert message.content[0].text == "My name is Ada and I live in Turin."


def test_a_prefill_is_continued_by_models_that_take_it(client: anthropic.Anthropic) -> None:
    """The answer goes on where the caller's beginning ends."""
    begun = LEASE_ANSWER[:10]
    message = client.messages.create(
        model="claude-haiku-4-5",
        max_tokens=200,
        messages=[ask(LEASE_PROMPT), {"role": "assistant", "content": begun}],
    )
    assert begun + message.content[0].text == LEASE_ANSWER


def test_sampling_parameters_are_taken_under_the_old_version(simulator: RunningSimulator) -> None:
    """Version 2023-06-01 still has temperature, top_p and top_k."""
    body = {"model": HAIKU, "max_tokens": 5, "messages": [ask("Hi")], "temperature": 0.3, "top_k": 5}
    assert simulator.post("/v1/messages", body, anthropic_version="2023-06-01").status_code == 200


def test_tokens_are_counted_as_they_are_billed(client: anthropic.Anthropic) -> None:
    """`count_tokens` equals the input tokens of the message itself, tools and system included."""
    tool = {"name": "add", "description": "Adds.", "input_schema": {"type": "object", "properties": {}}}
    request = {"model": HAIKU, "messages": [ask("Häagen 日本")], "system": "Be brief.", "tools": [tool]}
    counted = client.messages.count_tokens(**request).input_tokens
    assert counted == client.messages.create(max_tokens=50, **request).usage.input_tokens
    assert counted > client.messages.count_tokens(model=HAIKU, messages=[ask("Häagen 日本")]).input_tokens
