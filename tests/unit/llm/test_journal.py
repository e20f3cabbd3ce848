"""The journal of a step's calls: order, replay, and what is settled when."""

from __future__ import annotations

import json

from agentplatform.llm.journal import Settlement, StartedCall, StepJournal
from agentplatform.llm.messages import ModelResponse, Usage
from agentplatform.llm.tiers import Tier
from tests.unit.llm.conftest import Calls, identity, request

RESPONSE = ModelResponse(
    content=({"type": "text", "text": "Yes."},),
    stop_reason="end_turn",
    usage=Usage(10, 2, 3, 4, 5),
    model="claude-haiku-5-5",
    provider="anthropic",
    request_id="req_1",
)


def call(ordinal: int = 0, request_hash: str = "h") -> StartedCall:
    """A call about to be made."""
    return StartedCall(identity(), ordinal, request_hash, "fast", "anthropic", "claude-haiku-5-5", 100)


def settlement(of: StartedCall) -> Settlement:
    """Its settlement."""
    return Settlement(of, "settled", RESPONSE.usage, 7, "v1", "claude-haiku-5-5", response=RESPONSE)


def test_ordinals_count_from_zero_on_every_attempt(calls: Calls) -> None:
    """So the same call has the same place on each."""
    for attempt in (1, 2):
        journal = StepJournal(identity(attempt), calls)
        assert [journal.next_ordinal() for _ in range(3)] == [0, 1, 2]


def test_a_settlement_waits_for_the_end_of_the_step(calls: Calls, journal: StepJournal) -> None:
    """It is written with the finish, in one transaction."""
    first = call()
    journal.start(first)
    journal.settle(settlement(first))
    assert calls.kinds == ["start"]
    assert [pending.call for pending in journal.pending] == [first]


def test_a_settlement_is_written_before_the_next_call(calls: Calls, journal: StepJournal) -> None:
    """What has been paid for is durable before anything more is bought."""
    first, second = call(0), call(1)
    journal.start(first)
    journal.settle(settlement(first))
    journal.start(second)
    assert calls.kinds == ["start", "settle", "start"]
    assert calls.log[1][1].call is first
    assert journal.pending == []


def test_flushing_nothing_writes_nothing(calls: Calls, journal: StepJournal) -> None:
    """And flushing twice writes once."""
    journal.flush()
    assert calls.log == []
    journal.settle(settlement(call()))
    journal.flush()
    journal.flush()
    assert calls.kinds == ["settle"]


def test_a_settlement_that_cannot_be_written_is_kept(journal: StepJournal) -> None:
    """A store that fails leaves it pending: money is not forgotten."""

    class Broken(Calls):
        def settle(self, settlements: object) -> None:
            raise OSError("no database")

    broken = StepJournal(identity(), Broken())
    broken.settle(settlement(call()))
    for write in (broken.flush, lambda: broken.start(call(1))):
        try:
            write()
        except OSError:
            assert len(broken.pending) == 1
        else:
            raise AssertionError("the failure was swallowed")


def test_a_call_is_replayed_for_the_same_request_at_the_same_place(calls: Calls) -> None:
    """Neither another place nor another request gets its answer."""
    stored = json.loads(json.dumps(RESPONSE.to_json()))
    journal = StepJournal(identity(2), calls, [{"ordinal": 1, "request_hash": "h1", "response": stored}])
    replayed = journal.replay(1, "h1")
    assert replayed == RESPONSE
    assert replayed is not None
    assert replayed.replayed
    assert not RESPONSE.replayed
    assert journal.replay(0, "h1") is None
    assert journal.replay(1, "h2") is None


def test_json_holds_all_that_the_database_stores(calls: Calls) -> None:
    """Flat, with ids as text."""
    document = json.loads(json.dumps(settlement(call()).to_json()))
    assert document["tenant_id"] == str(identity().tenant_id)
    assert (document["attempt"], document["ordinal"], document["request_hash"]) == (1, 0, "h")
    assert (document["input_tokens"], document["cache_read_tokens"]) == (10, 5)
    assert (document["status"], document["cost_usd_micros"], document["estimated"]) == ("settled", 7, False)
    assert ModelResponse.from_json(document["response"]) == RESPONSE
    assert "step" not in document


def test_requests_differ_when_anything_in_them_does() -> None:
    """The hash is of all that is sent, and of nothing else."""
    hashes = {
        request().content_hash,
        request("Say something else.").content_hash,
        request(tier=Tier.BALANCED).content_hash,
        request(max_tokens=301).content_hash,
    }
    assert len(hashes) == 4
    assert request().content_hash == request().content_hash


def test_the_input_bound_is_more_than_every_byte() -> None:
    """A token is at least a byte, whatever the alphabet."""
    for text in ("a" * 1_000, "é" * 1_000, "😀" * 1_000):
        assert request(text).input_bound_tokens > len(text.encode())
