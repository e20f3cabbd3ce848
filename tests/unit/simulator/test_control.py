"""The log of calls, the models and what the simulator says of itself."""

import hashlib
import os
import subprocess
import sys
import time

import anthropic
import httpx2
import pytest

from agentplatform.simulator.calls import CallLog
from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.prompts import LEASE_PROMPT, ask

HAIKU = "claude-haiku-5-5"
NOTHING = {"total": 0, "in_flight": 0, "by_model": {}, "by_status": {}, "by_provider": {}, "calls": []}


def test_calls_are_counted_by_model_and_status(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Refused ones too."""
    client.messages.create(model=HAIKU, max_tokens=5, messages=[ask("Hi")])
    client.messages.create(model="claude-opus-5-5", max_tokens=5, messages=[ask("Hi")])
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="claude-nothing", max_tokens=5, messages=[ask("Hi")])
    calls = simulator.calls()
    assert (calls["total"], calls["in_flight"]) == (3, 0)
    assert calls["by_model"] == {HAIKU: 1, "claude-opus-5-5": 1, "claude-nothing": 1}
    assert calls["by_status"] == {"200": 2, "404": 1}


def test_a_call_is_listed_without_its_prompt(simulator: RunningSimulator) -> None:
    """Tokens, ids and a digest of the body; no text."""
    body = {
        "model": HAIKU,
        "max_tokens": 50,
        "messages": [ask(LEASE_PROMPT)],
        "metadata": {"user_id": "step-1"},
    }
    response = simulator.post("/v1/messages", body, idempotency_key="abc")
    listing = simulator.calls()
    (call,) = listing["calls"]
    usage = response.json()["usage"]
    assert call["request_id"] == response.headers["request-id"]
    assert (call["model"], call["stream"], call["status"]) == (HAIKU, False, 200)
    assert (call["input_tokens"], call["output_tokens"]) == (usage["input_tokens"], usage["output_tokens"])
    assert call["request_sha256"] == hashlib.sha256(response.request.content).hexdigest()
    assert (call["user_id"], call["idempotency_key"]) == ("step-1", "abc")
    assert "renewed" not in str(listing)


def test_calls_are_listed_since_a_moment(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """A listed `at` leaves out that call and all before it."""
    for _ in range(3):
        client.messages.create(model=HAIKU, max_tokens=5, messages=[ask("Hi")])
    first, second, third = (call["at"] for call in simulator.calls()["calls"])
    assert [call["at"] for call in simulator.calls(since=first)["calls"]] == [second, third]
    assert simulator.calls(since=third)["calls"] == []
    assert simulator.http.get(f"{simulator.url}/_control/calls?since=yesterday").status_code == 400


def test_deleting_calls_resets_the_counts(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """From zero again."""
    client.messages.create(model=HAIKU, max_tokens=5, messages=[ask("Hi")])
    assert simulator.http.delete(f"{simulator.url}/_control/calls").status_code == 204
    assert simulator.calls() == NOTHING


def test_a_reset_leaves_calls_in_flight_in_flight() -> None:
    """They end without being counted to the time after the reset."""
    log = CallLog()
    call = log.begin("req_1")
    time.sleep(0.001)
    log.reset()
    assert log.snapshot(None)["in_flight"] == 1
    log.finish(call, 200, "completed")
    assert log.snapshot(None) == NOTHING


def test_the_list_of_calls_is_bounded() -> None:
    """The latest ten thousand; the total goes on."""
    log = CallLog()
    for number in range(10_050):
        log.finish(log.begin(f"req_{number}"), 200, "completed")
    snapshot = log.snapshot(None)
    assert snapshot["total"] == 10_050
    assert len(snapshot["calls"]) == 10_000
    assert snapshot["calls"][-1]["request_id"] == "req_10049"


def test_the_sdk_pages_through_the_models(client: anthropic.Anthropic) -> None:
    """Every model once, whatever the page size."""
    ids = [model.id for model in client.models.list(limit=4)]
    assert len(ids) == len(set(ids)) > 10
    assert {HAIKU, "claude-sonnet-5-5", "claude-opus-5-5"} <= set(ids)
    assert [model.id for model in client.models.list(limit=1000)] == ids


def test_a_model_is_found_by_id_and_by_alias(client: anthropic.Anthropic) -> None:
    """An unknown one is not."""
    assert client.models.retrieve(HAIKU).max_input_tokens == 1_000_000
    assert client.models.retrieve("claude-haiku-4-5").id == "claude-haiku-4-5-20251001"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nothing")


def test_the_simulator_says_what_it_is(simulator: RunningSimulator) -> None:
    """Plainly, to anyone who opens it."""
    response = simulator.http.get(simulator.url)
    assert response.json()["simulator"] == "simulator of the Anthropic API, no model is called"
    assert response.headers["x-simulator"] == "agentplatform"


def test_the_command_starts_says_where_and_stops() -> None:
    """Options and environment are read; a termination ends it cleanly."""
    environment = {**os.environ, "SIMULATOR_PORT": "0", "SIMULATOR_LATENCY_SCALE": "0"}
    command = [sys.executable, "-m", "agentplatform.simulator", "--seed", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert "simulator of the Anthropic API, no model is called: http://127.0.0.1:" in line
            url = line.split(": ", 1)[1].split()[0]
            about = httpx2.get(url).json()
            assert (about["seed"], about["latency_scale"]) == (3, 0)
        finally:
            process.terminate()
        assert process.wait(timeout=10) in (0, -15)


def test_a_taken_port_is_named_with_its_variable(simulator: RunningSimulator) -> None:
    """One line, and a status that says it failed."""
    port = simulator.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "agentplatform.simulator", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "SIMULATOR_PORT" in done.stderr
    assert "Traceback" not in done.stderr
