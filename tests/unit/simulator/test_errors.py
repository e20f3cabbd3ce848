"""Bad requests: each is a clear 4xx in the API's error shape, never a 500."""

from typing import Any

import anthropic
import httpx2
import pytest

from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.prompts import ask

HAIKU = "claude-haiku-5-5"
TOOL = {"name": "t", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
CACHED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}


def valid(**changes: Any) -> dict[str, Any]:
    """A valid body with changes; a change to None leaves the field out."""
    body = {"model": HAIKU, "max_tokens": 10, "messages": [ask("Hi")], **changes}
    return {name: value for name, value in body.items() if value is not None}


def user(*blocks: Any) -> dict[str, Any]:
    """A user message of blocks."""
    return {"role": "user", "content": list(blocks)}


INVALID = [
    (valid(model=None), "model: Field required"),
    (valid(max_tokens=None), "max_tokens: Field required"),
    (valid(messages=None), "messages: Field required"),
    (valid(model=7), "model: Input should be"),
    (valid(max_tokens="10"), "max_tokens: Input should be a valid integer"),
    (valid(max_tokens=True), "max_tokens: Input should be a valid integer"),
    (valid(max_tokens=-1), "max_tokens: Input should be greater than or equal to 0"),
    (valid(max_tokens=200_000), "max_tokens: 200000 > 128000"),
    (valid(surprise=1), "surprise: Extra inputs are not permitted"),
    (valid(stream="yes"), "stream: Input should be a valid boolean"),
    (valid(stop_sequences="x"), "stop_sequences: Input should be a valid list of strings"),
    (valid(stop_sequences=[" "]), "stop_sequences: each stop sequence must contain non-whitespace"),
    (valid(service_tier="gold"), "service_tier: Input should be"),
    (valid(metadata={"user_id": 4}), "metadata.user_id: Input should be a string"),
    (valid(thinking={"type": "deep"}), "thinking.type: Input should be one of"),
    (valid(thinking={"type": "enabled", "budget_tokens": 5}), "thinking.budget_tokens: Input should be greater"),
    (valid(system=5), "system: Input should be a string or a list of text blocks"),
    (valid(output_config={"format": {"type": "xml"}}), "output_config.format.type"),
    (valid(output_config={"format": {"type": "json_schema", "schema": {"type": "thing"}}}), "JSON schema is invalid"),
    (valid(messages="Hi"), "messages: Input should be a valid list"),
    (valid(messages=[]), "messages: at least one message is required"),
    (valid(messages=["Hi"]), "messages.0: Input should be an object"),
    (valid(messages=[{"role": "user"}]), "messages.0.content: Field required"),
    (valid(messages=[{"role": "robot", "content": "x"}]), "messages.0.role: Input should be"),
    (valid(messages=[{"role": "user", "content": "x", "name": "n"}]), "messages.0.name: Extra inputs"),
    (valid(messages=[ask("")]), "messages.0: all messages must have non-empty content"),
    (valid(messages=[user({"type": "text", "text": " "})]), "text content blocks must contain non-whitespace"),
    (valid(messages=[user({"type": "video"})]), "messages.0.content.0.type: Input should be one of"),
    (valid(messages=[user({"type": ["text"]})]), "messages.0.content.0.type: Input should be one of"),
    (valid(messages=[user({"type": "text", "text": 5})]), "messages.0.content.0.text.text"),
    (valid(messages=[user({"type": "image"})]), "messages.0.content.0.image.source.type"),
    (valid(messages=[{"role": "assistant", "content": "x"}, ask("x")]), 'first message must use the "user" role'),
    (valid(messages=[ask("x"), {"role": "assistant", "content": "x"}]), "does not support assistant message prefill"),
    (valid(messages=[user(RESULT)], tools=[TOOL]), "unexpected `tool_use_id` found in `tool_result`"),
    (valid(messages=[user(RESULT)]), "must define tools"),
    (
        valid(messages=[ask("x"), {"role": "assistant", "content": [USE]}, ask("y")], tools=[TOOL]),
        "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
    ),
    (valid(tools=TOOL), "tools: Input should be a valid list"),
    (valid(tools=[TOOL, TOOL]), "tools: Tool names must be unique"),
    (valid(tools=[{"name": "bad name", "input_schema": {"type": "object"}}]), "tools.0.custom.name"),
    (valid(tools=[{"name": "t"}]), "tools.0.custom.input_schema: Field required"),
    (valid(tools=[{"name": "t", "input_schema": {"type": "string"}}]), "input_schema.type: Input should be 'object'"),
    (valid(tools=[{"type": "web_search_20250305", "name": "web_search"}]), "serves custom tools alone"),
    (valid(tool_choice={"type": "any"}), "tool_choice: may only be specified while providing tools"),
    (valid(tools=[TOOL], tool_choice={"type": "tool", "name": "u"}), "tool_choice.name: Tool 'u' not found"),
    (
        valid(model="claude-sonnet-5-5", tools=[TOOL], tool_choice={"type": "any"}),
        "forces tool use, which claude-sonnet-5-5 does not support",
    ),
    (valid(messages=[user(*[CACHED] * 5)]), "A maximum of 4 blocks with cache_control may be provided. Found 5."),
    (valid(model="claude-haiku-4-5", messages=[ask("x" * 900_000)]), "prompt is too long"),
    (valid(messages=[ask("<document>x</document>")], output_config={"format": {"type": "json_schema", "schema": {
        "type": "object", "properties": {"code": {"type": "string", "pattern": "^Q{9}$"}}, "required": ["code"],
    }}}), "can't fill this schema"),
    *[(valid(**{name: 1}), f"{name}: not supported under anthropic-version 2026-10-21") for name in (
        "temperature", "top_p", "top_k")],
]  # fmt: skip


@pytest.mark.parametrize(("body", "message"), INVALID, ids=[message for _, message in INVALID])
def test_an_invalid_request_is_told_what_is_wrong(
    simulator: RunningSimulator, body: dict[str, Any], message: str
) -> None:
    """400 `invalid_request_error`, the field named, under the request's id."""
    response = simulator.post("/v1/messages", body)
    answer = response.json()
    assert response.status_code == 400, answer
    assert answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error"
    assert message in answer["error"]["message"]
    assert answer["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b'{"model": NaN}'])
def test_a_body_that_is_no_json_object_is_refused(simulator: RunningSimulator, content: bytes) -> None:
    """Whatever the bytes are."""
    headers = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        response = simulator.http.post(f"{simulator.url}{path}", content=content, headers=headers)
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_missing_key_is_401(simulator: RunningSimulator) -> None:
    """On every endpoint of the API, in its error shape."""
    version = {"anthropic-version": "2026-10-21"}
    responses = [
        simulator.http.post(f"{simulator.url}/v1/messages", json=valid(), headers=version),
        simulator.http.post(f"{simulator.url}/v1/messages/count_tokens", json={}, headers=version),
        simulator.http.get(f"{simulator.url}/v1/models", headers=version),
        httpx2.post(
            f"{simulator.url}/v1/messages", json=valid(), headers={**version, "authorization": "Basic x"}
        ),
    ]
    for response in responses:
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("headers", [{"x-api-key": "k"}, {"authorization": "Bearer k"}])
def test_a_key_is_taken_from_either_header(simulator: RunningSimulator, headers: dict[str, str]) -> None:
    """`x-api-key` or a bearer token."""
    both = {**headers, "anthropic-version": "2026-10-21"}
    assert simulator.http.post(f"{simulator.url}/v1/messages", json=valid(), headers=both).status_code == 200


@pytest.mark.parametrize("version", ["", "2020-01-01"])
def test_an_unknown_version_is_refused(simulator: RunningSimulator, version: str) -> None:
    """A missing one too."""
    response = simulator.post("/v1/messages", valid(), anthropic_version=version)
    assert response.status_code == 400
    assert "anthropic-version" in response.json()["error"]["message"]


def test_an_unknown_model_is_404(client: anthropic.Anthropic) -> None:
    """The SDK raises its NotFoundError, with type and request id."""
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="claude-nothing", max_tokens=5, messages=[ask("Hi")])
    assert caught.value.type == "not_found_error"
    assert caught.value.api_message == "model: claude-nothing"
    assert caught.value.request_id is not None


def test_a_body_over_32_megabytes_is_413(simulator: RunningSimulator) -> None:
    """`request_too_large`."""
    response = simulator.post("/v1/messages", valid(system="x" * (33 * 1024 * 1024)))
    assert response.status_code == 413
    assert response.json()["error"]["type"] == "request_too_large"


def test_an_unknown_path_and_a_wrong_method_are_errors_of_the_api(simulator: RunningSimulator) -> None:
    """404 and 405 in the same shape, marked as the simulator's."""
    missing = simulator.http.get(f"{simulator.url}/v1/nothing")
    wrong = simulator.http.get(f"{simulator.url}/v1/messages")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")
    for response in (missing, wrong):
        assert response.headers["x-simulator"] == "agentplatform"
        assert response.json()["request_id"] == response.headers["request-id"]
