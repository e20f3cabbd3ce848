"""Four providers in one process, each spoken to by the SDK's own client, each its own failure domain."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from agentplatform.simulator.settings import settings_from
from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.clients import MODELS, bedrock, client_of, second, vertex
from tests.unit.simulator.prompts import LEASE_ANSWER, LEASE_PROMPT, ask

PROVIDERS = tuple(MODELS)
WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
RAISED: dict[str, dict[int, type[anthropic.APIStatusError]]] = {
    # AWS has no 529, and answers with 403 to credentials it does not know; the rest comes as it is.
    "bedrock": {
        401: anthropic.PermissionDeniedError,
        413: anthropic.BadRequestError,
        504: anthropic.RequestTimeoutError,
        529: anthropic.ServiceUnavailableError,
    },
}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    """The name of each provider in turn."""
    return str(request.param)


@pytest.fixture
def provider_client(provider: str, simulator: RunningSimulator) -> Iterator[Any]:
    """The SDK's client of that provider."""
    client = client_of(provider, simulator)
    yield client
    if provider != "anthropic":
        client.close()


def test_the_same_call_gets_the_same_answer_at_every_provider(provider: str, provider_client: Any) -> None:
    """Whole, by the model's name there; the message's id tells who made it."""
    message = provider_client.messages.create(
        model=MODELS[provider], max_tokens=100, messages=[ask(LEASE_PROMPT)]
    )
    assert message.content[0].text == LEASE_ANSWER
    assert message.model == "claude-haiku-5-5"
    assert message.usage.input_tokens > 0
    prefix = {"bedrock": "msg_bdrk_", "vertex": "msg_vrtx_"}.get(provider, "msg_0")
    assert message.id.startswith(prefix)


def test_every_provider_streams(provider: str, provider_client: Any, simulator: RunningSimulator) -> None:
    """Text in pieces, then the usage of the whole."""
    with provider_client.messages.stream(
        model=MODELS[provider], max_tokens=100, messages=[ask(LEASE_PROMPT)]
    ) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert len(pieces) > 1
    assert "".join(pieces) == LEASE_ANSWER
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", -(-len(LEASE_ANSWER) // 4))
    call = simulator.calls()["calls"][-1]
    assert (call["provider"], call["stream"], call["model"]) == (provider, True, "claude-haiku-5-5")


def test_every_provider_calls_tools_in_a_stream(provider: str, provider_client: Any) -> None:
    """The input arrives in parts and is put together."""
    with provider_client.messages.stream(
        model=MODELS[provider],
        max_tokens=100,
        tools=[WEATHER],
        tool_choice={"type": "any"},
        messages=[ask('What is the weather in "Oslo"?')],
    ) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    assert message.content[0].input.keys() == {"city"}


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (413, anthropic.ContentTooLargeError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (503, anthropic.ServiceUnavailableError),
        (504, anthropic.GatewayTimeoutError),
        (529, anthropic.OverloadedError),
    ],
)
def test_an_error_reaches_the_sdk_as_each_provider_has_it(
    provider: str,
    provider_client: Any,
    simulator: RunningSimulator,
    status: int,
    raised: type[anthropic.APIStatusError],
) -> None:
    """And hits that provider alone."""
    simulator.fault(status=status, provider=provider, count=1, message="Not now.")
    other = client_of("second" if provider == "anthropic" else "anthropic", simulator)
    assert other.messages.create(model="claude-haiku-5-5", max_tokens=5, messages=[ask("Hi")])
    with pytest.raises(RAISED.get(provider, {}).get(status, raised)) as caught:
        provider_client.messages.create(model=MODELS[provider], max_tokens=5, messages=[ask("Hi")])
    assert "Not now." in str(caught.value)


def test_an_error_can_come_in_mid_stream_at_every_provider(
    provider: str, provider_client: Any, simulator: RunningSimulator
) -> None:
    """As an event, or as AWS's exception message, after what was said so far."""
    simulator.fault(stream_error_after=2, provider=provider, count=1)
    pieces: list[str] = []
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        provider_client.messages.stream(
            model=MODELS[provider], max_tokens=100, messages=[ask(LEASE_PROMPT)]
        ) as stream,
    ):
        pieces.extend(stream.text_stream)
    assert len(pieces) == 2
    expected = "serviceUnavailableException" if provider == "bedrock" else "overloaded_error"
    assert caught.value.type == expected


def test_calls_are_counted_by_provider_and_model(simulator: RunningSimulator) -> None:
    """With their statuses."""
    simulator.fault(status=529, provider="bedrock", count=1)
    for name in PROVIDERS:
        client = client_of(name, simulator)
        try:
            client.messages.create(model=MODELS[name], max_tokens=5, messages=[ask("Hi")])
        except anthropic.ServiceUnavailableError:
            client.messages.create(model=MODELS[name], max_tokens=5, messages=[ask("Hi")])
    by_provider = simulator.calls()["by_provider"]
    haiku = {"claude-haiku-5-5": {"200": 1}}
    assert by_provider == {
        "anthropic": haiku,
        "second": haiku,
        "vertex": haiku,
        "bedrock": {"claude-haiku-5-5": {"200": 1, "503": 1}},
    }


def test_one_provider_can_be_slow_alone(simulator: RunningSimulator) -> None:
    """Its latency has a scale of its own; without one it has the simulator's."""
    simulator.set_provider("second", latency_scale=0.5)
    with pytest.raises(anthropic.APITimeoutError):
        second(simulator).with_options(timeout=0.05).messages.create(
            model="claude-opus-5-5", max_tokens=50, messages=[ask(LEASE_PROMPT)]
        )
    simulator.set_provider("second", latency_scale=None)
    assert second(simulator).messages.create(
        model="claude-opus-5-5", max_tokens=50, messages=[ask(LEASE_PROMPT)]
    )


def test_the_second_provider_takes_its_own_key_alone(simulator: RunningSimulator) -> None:
    """Another is 401, for messages and models alike."""
    stranger = second(simulator, "test-key")
    with pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model="claude-haiku-5-5", max_tokens=5, messages=[ask("Hi")])
    with pytest.raises(anthropic.AuthenticationError):
        stranger.models.list()
    assert second(simulator).models.retrieve("claude-haiku-5-5").id == "claude-haiku-5-5"


def test_bedrock_takes_an_api_key_too(simulator: RunningSimulator) -> None:
    """As a bearer token; another is refused."""
    message = bedrock(simulator, api_key="simulator-bedrock").messages.create(
        model="anthropic.claude-haiku-5-5-v1:0", max_tokens=5, messages=[ask("Hi")]
    )
    assert message.stop_reason
    with pytest.raises(anthropic.PermissionDeniedError):
        bedrock(simulator, api_key="other").messages.create(
            model="anthropic.claude-haiku-5-5-v1:0", max_tokens=5, messages=[ask("Hi")]
        )


def test_bedrock_refuses_an_access_key_it_does_not_know(simulator: RunningSimulator) -> None:
    """403, and AWS's name for it in its header."""
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        bedrock(simulator, aws_access_key="AKIAANOTHER000000000", aws_secret_key="x").messages.create(
            model="anthropic.claude-haiku-5-5-v1:0", max_tokens=5, messages=[ask("Hi")]
        )
    assert caught.value.response.headers["x-amzn-errortype"] == "UnrecognizedClientException"
    assert caught.value.request_id is None
    assert caught.value.response.headers["x-amzn-requestid"]


@pytest.mark.parametrize("authorization", ["", "Basic x", "AWS4-HMAC-SHA256 Credential=AKIA/x"])
def test_bedrock_refuses_what_is_no_signature(simulator: RunningSimulator, authorization: str) -> None:
    """A header that is missing, of another scheme, or malformed."""
    response = simulator.http.post(
        f"{simulator.url}/bedrock/model/anthropic.claude-haiku-5-5-v1:0/invoke",
        json={"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [ask("Hi")]},
        headers={"authorization": authorization} if authorization else {},
    )
    assert response.status_code == 403
    assert set(response.json()) == {"message"}


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-haiku-5-5-v1:0",
        "anthropic.claude-haiku-5-5",
        "global.anthropic.claude-haiku-5-5-v1:0",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-5-5-v1:0",
    ],
)
def test_bedrock_knows_models_by_id_profile_and_arn(simulator: RunningSimulator, model: str) -> None:
    """All of the shapes AWS has for them."""
    message = bedrock(simulator).messages.create(model=model, max_tokens=5, messages=[ask("Hi")])
    assert message.model.startswith("claude-haiku-")


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "meta.llama3-70b-instruct-v1:0", "us.anthropic."])
def test_bedrock_refuses_a_model_it_does_not_name_so(simulator: RunningSimulator, model: str) -> None:
    """A ValidationException."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        bedrock(simulator).messages.create(model=model, max_tokens=5, messages=[ask("Hi")])
    assert caught.value.response.headers["x-amzn-errortype"] == "ValidationException"


def test_bedrock_repeats_the_usage_in_its_headers(simulator: RunningSimulator) -> None:
    """Input and output tokens; no rate-limit headers."""
    response = bedrock(simulator).messages.with_raw_response.create(
        model=MODELS["bedrock"], max_tokens=50, messages=[ask(LEASE_PROMPT)]
    )
    usage = response.parse().usage
    assert response.headers["x-amzn-bedrock-input-token-count"] == str(usage.input_tokens)
    assert response.headers["x-amzn-bedrock-output-token-count"] == str(usage.output_tokens)
    assert not [name for name in response.headers if name.startswith("anthropic-ratelimit")]


def test_vertex_counts_tokens_and_knows_dated_models(simulator: RunningSimulator) -> None:
    """As `model@date`; the count is that of the first provider."""
    message = vertex(simulator).messages.create(
        model="claude-haiku-4-5@20251001", max_tokens=5, messages=[ask("Hi")]
    )
    assert message.model == "claude-haiku-4-5-20251001"
    counted = vertex(simulator).messages.count_tokens(model="claude-haiku-5-5", messages=[ask("Hi there")])
    own = simulator.client().messages.count_tokens(model="claude-haiku-5-5", messages=[ask("Hi there")])
    assert counted.input_tokens == own.input_tokens > 0


def test_vertex_answers_what_google_refuses_as_google_does(simulator: RunningSimulator) -> None:
    """Another token, an unknown model, a quota: its error object, without the API's types."""
    with pytest.raises(anthropic.AuthenticationError) as caught:
        vertex(simulator, "other").messages.create(
            model="claude-haiku-5-5", max_tokens=5, messages=[ask("Hi")]
        )
    assert caught.value.body["error"]["status"] == "UNAUTHENTICATED"
    with pytest.raises(anthropic.NotFoundError) as unknown:
        vertex(simulator).messages.create(model="claude-nothing", max_tokens=5, messages=[ask("Hi")])
    assert unknown.value.body["error"]["status"] == "NOT_FOUND"
    with pytest.raises(anthropic.BadRequestError) as invalid:
        vertex(simulator).messages.create(model="claude-haiku-5-5", max_tokens=0 - 1, messages=[ask("Hi")])
    assert invalid.value.type == "invalid_request_error"


@pytest.mark.parametrize("name", ["bedrock", "vertex"])
def test_the_sdk_has_no_batches_there(simulator: RunningSimulator, name: str) -> None:
    """It refuses by itself, so a batch lane needs a provider that has them."""
    with pytest.raises(anthropic.AnthropicError, match="Batch API is not supported"):
        client_of(name, simulator).messages.batches.list()


def test_a_provider_that_is_not_there_cannot_be_set(simulator: RunningSimulator) -> None:
    """404, and its settings are refused by name where they make no sense."""
    control = f"{simulator.url}/_control/providers"
    assert simulator.http.patch(f"{control}/nobody", json={}).status_code == 404
    for settings in (
        {"colour": 1},
        {"latency_scale": -1},
        {"rate_limits": {"haiku": {}}},
        {"rate_limits": {"llama": {"requests": 1}}},
        {"rate_limits": {"*": {"requests": 0}}},
        {"batches": {"errored_share": 0.6, "expired_share": 0.6}},
        {"quality": {"by_model": {"claude-haiku-5-5": 1.5}}},
    ):
        before = simulator.provider("second")
        response = simulator.http.patch(f"{control}/second", json=settings)
        assert response.status_code == 400, settings
        assert simulator.provider("second") == before


def test_providers_are_set_from_the_environment() -> None:
    """Settings as their control endpoint takes them, and the credentials they expect."""
    settings = settings_from(
        {
            "SIMULATOR_PROVIDERS": '{"second": {"rate_limits": {"*": {"requests": 5}}}, "third": {}}',
            "SIMULATOR_SECOND_API_KEY": "other",
        },
        seed=1,
        latency_scale=0,
    )
    assert settings.providers["second"].rate_limits["*"].requests == 5
    assert settings.second_api_key == "other"
    assert settings.vertex_access_token == "simulator-vertex"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "Input should be an object"),
        ('{"second": {"x": 1}}', "x: unknown field"),
    ],
)
def test_providers_that_make_no_sense_stop_the_start(text: str, message: str) -> None:
    """Status 2, and the variable named."""
    environment = {**os.environ, "SIMULATOR_PROVIDERS": text}
    command = [sys.executable, "-m", "agentplatform.simulator", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    assert done.returncode == 2
    assert f"SIMULATOR_PROVIDERS: {message}" in done.stderr


def test_at_most_a_hundred_providers_are_named_by_keys(simulator: RunningSimulator) -> None:
    """Then a new name is refused; those that are there go on."""
    body = {"model": "claude-haiku-5-5", "max_tokens": 5, "messages": [ask("Hi")]}
    statuses = [
        simulator.post("/v1/messages", body, x_api_key=f"provider-p{number}-key").status_code
        for number in range(100)
    ]
    assert statuses == [200] * 96 + [401] * 4
    assert simulator.post("/v1/messages", body, x_api_key="provider-p0-key").status_code == 200
