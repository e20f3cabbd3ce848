"""Message Batches from the first poll to the last result, through the SDK."""

import asyncio
import json
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import MessageBatch

from agentplatform.simulator.batch import BatchItem
from agentplatform.simulator.batch_store import BatchStore
from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.provider_settings import BatchSettings
from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.clients import second
from tests.unit.simulator.prompts import LEASE_ANSWER, LEASE_PROMPT, ask

HAIKU = "claude-haiku-5-5"


def entry(custom_id: str, **changes: Any) -> Any:
    """A request of a batch."""
    params = {"model": HAIKU, "max_tokens": 100, "messages": [ask(LEASE_PROMPT)], **changes}
    return {"custom_id": custom_id, "params": params}


def submit(client: anthropic.Anthropic, count: int = 10) -> MessageBatch:
    """A batch of so many requests."""
    return client.messages.batches.create(requests=[entry(f"r{number}") for number in range(count)])


def ended(client: anthropic.Anthropic, batch_id: str) -> MessageBatch:
    """The batch once it has ended, for one whose time has come."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        batch = client.messages.batches.retrieve(batch_id)
        if batch.processing_status == "ended":
            return batch
        time.sleep(0.02)
    raise AssertionError("the batch did not end")


def types_by_id(client: anthropic.Anthropic, batch_id: str) -> dict[str, str]:
    """How each request ended."""
    return {line.custom_id: line.result.type for line in client.messages.batches.results(batch_id)}


def test_a_batch_is_in_progress_until_its_time_and_then_ends(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Counts move only at the end, all at once; the results come then."""
    simulator.set_provider("anthropic", batches={"seconds": 600})
    batch = submit(client)
    assert batch.processing_status == "in_progress"
    assert batch.expires_at - batch.created_at == timedelta(hours=24)
    assert (batch.ended_at, batch.results_url) == (None, None)
    simulator.advance(550)
    counts = client.messages.batches.retrieve(batch.id).request_counts
    assert (counts.processing, counts.succeeded) == (10, 0)
    simulator.advance(51)
    batch = ended(client, batch.id)
    assert (batch.request_counts.processing, batch.request_counts.succeeded) == (0, 10)
    assert batch.ended_at == batch.created_at + timedelta(seconds=600)


def test_results_are_whole_messages_matched_by_custom_id_and_unordered(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Of the service tier `batch`, and the same however often they are read."""
    simulator.set_provider("anthropic", batches={"seconds": 0})
    batch = ended(client, submit(client, 30).id)
    results = list(client.messages.batches.results(batch.id))
    ids = [line.custom_id for line in results]
    assert sorted(ids) == sorted(f"r{number}" for number in range(30))
    assert ids != [f"r{number}" for number in range(30)]
    assert {line.result.message.content[0].text for line in results} == {LEASE_ANSWER}
    assert {line.result.message.usage.service_tier for line in results} == {"batch"}
    assert [line.to_dict() for line in client.messages.batches.results(batch.id)] == [
        line.to_dict() for line in results
    ]


def test_a_request_that_is_invalid_ends_as_an_error_of_its_own(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """The others succeed; the error is what the Messages API would have answered."""
    simulator.set_provider("anthropic", batches={"seconds": 0})
    batch = client.messages.batches.create(
        requests=[
            entry("good"),
            entry("long", max_tokens=1_000_000),
            entry("lost", model="claude-nothing"),
            entry("streamed", stream=True),
        ]
    )
    ended(client, batch.id)
    errors = {
        line.custom_id: line.result.error.error.type
        for line in client.messages.batches.results(batch.id)
        if line.result.type == "errored"
    }
    assert errors == {
        "long": "invalid_request_error",
        "lost": "not_found_error",
        "streamed": "invalid_request_error",
    }
    assert client.messages.batches.retrieve(batch.id).request_counts.succeeded == 1


def test_scripted_shares_end_as_errors_or_expire(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """To the request; which ones differs from batch to batch, so that one sent again may succeed."""
    simulator.set_provider("anthropic", batches={"seconds": 0, "errored_share": 0.2, "expired_share": 0.1})
    first, again = submit(client, 20), submit(client, 20)
    for batch in (first, again):
        counts = ended(client, batch.id).request_counts
        assert (counts.succeeded, counts.errored, counts.expired, counts.canceled) == (14, 4, 2, 0)
        types = Counter(types_by_id(client, batch.id).values())
        assert types == {"succeeded": 14, "errored": 4, "expired": 2}
    assert types_by_id(client, first.id) != types_by_id(client, again.id)


def test_a_cancel_finishes_what_was_begun_and_cancels_the_rest(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Through canceling, which takes a while; a second cancel changes nothing."""
    simulator.set_provider("anthropic", batches={"seconds": 1000})
    batch = submit(client)
    simulator.advance(450)
    canceling = client.messages.batches.cancel(batch.id)
    assert canceling.processing_status == "canceling"
    assert canceling.request_counts.processing == 10
    simulator.advance(50)
    assert client.messages.batches.cancel(batch.id).cancel_initiated_at == canceling.cancel_initiated_at
    assert client.messages.batches.retrieve(batch.id).processing_status == "canceling"
    simulator.advance(51)
    counts = ended(client, batch.id).request_counts
    assert (counts.succeeded, counts.canceled) == (4, 6)
    assert Counter(types_by_id(client, batch.id).values()) == {"succeeded": 4, "canceled": 6}


def test_a_batch_that_takes_longer_than_a_day_expires(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """What was not processed by then is expired."""
    simulator.set_provider("anthropic", batches={"seconds": 2 * 86_400})
    batch = submit(client)
    simulator.advance(86_401)
    batch = ended(client, batch.id)
    assert batch.ended_at == batch.expires_at
    assert (batch.request_counts.succeeded, batch.request_counts.expired) == (5, 5)


def test_a_batch_is_deleted_once_it_has_ended(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Not before; afterwards it is unknown."""
    simulator.set_provider("anthropic", batches={"seconds": 60})
    batch = submit(client)
    with pytest.raises(anthropic.BadRequestError, match="cancel it first"):
        client.messages.batches.delete(batch.id)
    simulator.advance(61)
    ended(client, batch.id)
    with pytest.raises(anthropic.BadRequestError, match="its processing has ended"):
        client.messages.batches.cancel(batch.id)
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)


def test_results_are_asked_for_too_early(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """The SDK refuses by itself; over HTTP it is 404."""
    simulator.set_provider("anthropic", batches={"seconds": 60})
    batch = submit(client)
    with pytest.raises(anthropic.AnthropicError, match="No `results_url` for the given batch"):
        client.messages.batches.results(batch.id)
    headers = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
    url = f"{simulator.url}/v1/messages/batches/{batch.id}/results"
    assert simulator.http.get(url, headers=headers).status_code == 404


def test_batches_are_listed_newest_first_in_pages(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Every one once, whatever the page; backwards too; a cursor that names none is 404."""
    simulator.set_provider("anthropic", batches={"seconds": 0})
    made = [submit(client, 1).id for _ in range(7)][::-1]
    assert [batch.id for batch in client.messages.batches.list(limit=3)] == made
    before = client.messages.batches.list(before_id=made[5], limit=2)
    assert ([batch.id for batch in before.data], before.has_more) == (made[3:5], True)
    after = client.messages.batches.list(after_id=made[5], limit=2)
    assert ([batch.id for batch in after.data], after.has_more) == (made[6:], False)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.list(after_id="msgbatch_none")


def test_each_provider_has_batches_of_its_own(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """One's are unknown to the other; faults hit one alone."""
    batch = submit(second(simulator), 1)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)
    simulator.fault(status=529, provider="second", endpoint="batches")
    with pytest.raises(anthropic.OverloadedError):
        second(simulator).messages.batches.retrieve(batch.id)
    assert submit(client, 1).id
    assert simulator.provider("second")["batches"]["created"] == 1


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "requests: Input should be a list with at least 1 item"),
        ("x", "requests: Input should be a list"),
        (["x"], "requests.0: Input should be an object"),
        ([{"params": {}}], "requests.0.custom_id: String should match pattern"),
        ([entry("a b")], "requests.0.custom_id: String should match pattern"),
        ([entry("x" * 65)], "requests.0.custom_id: String should match pattern"),
        ([entry("same"), entry("same")], "requests.1.custom_id: 'same' is not unique"),
        ([{"custom_id": "a", "params": "x"}], "requests.0.params: Input should be an object"),
        ([{**entry("a"), "priority": 1}], "requests.0.priority: Extra inputs are not permitted"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_whole(
    simulator: RunningSimulator, requests: Any, message: str
) -> None:
    """400, and none is created."""
    response = simulator.post("/v1/messages/batches", {"requests": requests})
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
    assert simulator.provider("anthropic")["batches"]["created"] == 0


def test_old_batches_are_archived_when_memory_is_short() -> None:
    """The oldest that has ended loses its results and keeps its counts; those in progress are kept."""

    async def scenario() -> None:
        clock = SimulatedClock()
        store = BatchStore(clock, largest_bytes=3_000)

        def items() -> list[BatchItem]:
            return [BatchItem(f"r{number}", json.dumps({"text": "x" * 100}).encode()) for number in range(10)]

        def answer(params: dict[str, Any]) -> dict[str, Any]:
            return {"text": params["text"]}

        quick, slow = BatchSettings(seconds=0), BatchSettings(seconds=600)
        first = store.create(items(), quick, answer)
        second_batch = store.create(items(), slow, answer)
        while not second_batch.is_worked_out:
            await asyncio.sleep(0.001)
        third = store.create(items(), slow, answer)
        now = clock.now()
        assert first.as_json(now, "u")["request_counts"]["succeeded"] == 10
        assert first.as_json(now, "u")["archived_at"] is not None
        assert first.as_json(now, "u")["results_url"] is None
        with pytest.raises(ApiError, match="no longer available"):
            store.results(first.id)
        with pytest.raises(ApiError) as refused:
            store.create(items(), slow, answer)
        assert refused.value.status == 429
        assert [batch.status(now) for batch in (second_batch, third)] == ["in_progress", "in_progress"]

    asyncio.run(scenario())


def test_a_request_that_breaks_the_simulator_holds_up_no_batch(caplog: pytest.LogCaptureFixture) -> None:
    """It ends as an internal error, which the log tells; the others succeed."""

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        return {"quotient": 1 / params["divisor"]}

    async def scenario() -> dict[str, int]:
        store = BatchStore(SimulatedClock())
        items = [BatchItem(f"r{number}", json.dumps({"divisor": number}).encode()) for number in range(3)]
        batch = store.create(items, BatchSettings(seconds=0), answer)
        while not batch.is_worked_out:
            await asyncio.sleep(0.001)
        return dict(store.as_json()["requests"])

    counts = asyncio.run(scenario())
    assert (counts["succeeded"], counts["errored"], counts["processing"]) == (2, 1, 0)
    assert "could not be answered" in caplog.text


def test_a_large_batch_does_not_hold_up_other_calls(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Two thousand requests are worked out between other calls, each of which stays quick."""
    simulator.set_provider("second", batches={"seconds": 0})
    batch = submit(second(simulator), 2_000)
    slowest = 0.0
    for _ in range(20):
        started = time.perf_counter()
        client.messages.create(model=HAIKU, max_tokens=5, messages=[ask("Hi")])
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 0.25
    assert ended(second(simulator), batch.id).request_counts.succeeded == 2_000
