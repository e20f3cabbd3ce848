"""Batches: when they are sent and asked after, and the real adapter on the simulator's Message Batches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.llm.batches import (
    BatchItem,
    BatchLimits,
    Ending,
    backoff_seconds,
    due_count,
    poll_seconds,
)
from agentplatform.llm.catalogue import ProviderKind
from agentplatform.llm.errors import ModelError
from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.providers.clients import ProviderSettings, client_of
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import request

LIMITS = BatchLimits(max_requests=4, max_bytes=100, wait_seconds=60)


@pytest.mark.parametrize(
    ("sizes", "waited", "count"),
    [
        ([10, 10], 59, 0),
        ([10, 10], 60, 2),
        ([10, 10, 10, 10], 0, 4),
        ([10] * 9, 0, 4),
        ([60, 60], 0, 1),
        ([60, 40], 0, 0),
        ([60, 40, 1], 0, 2),
        ([500], 0, 0),
        ([500], 60, 1),
        ([500, 1], 0, 1),
        ([], 0, 0),
    ],
)
def test_a_batch_is_sent_when_it_is_full_or_has_waited(sizes: list[int], waited: float, count: int) -> None:
    """Full by number or by size; one that is too large goes alone."""
    assert due_count(sizes, waited, LIMITS) == count


@given(st.lists(st.integers(1, 150), max_size=12), st.floats(0, 120))
def test_no_batch_passes_its_limits_and_none_waits_for_ever(sizes: list[int], waited: float) -> None:
    """Whatever comes, in whatever sizes."""
    count = due_count(sizes, waited, LIMITS)
    assert count <= min(len(sizes), LIMITS.max_requests)
    assert count <= 1 or sum(sizes[:count]) <= LIMITS.max_bytes
    assert count or not sizes or waited < LIMITS.wait_seconds


def test_a_young_batch_is_asked_after_more_often_than_an_old_one() -> None:
    """Between the least and a minute."""
    assert [poll_seconds(age, 10) for age in (0, 400, 86_400)] == [10, 20, 60]
    assert [backoff_seconds(failures) for failures in (1, 2, 3, 20)] == [2, 4, 8, 300]


def items(count: int) -> list[BatchItem]:
    """Requests of a batch."""
    return [BatchItem(f"call-{number}", request(f"Say something about {number}.")) for number in range(count)]


def submitted(provider: AnthropicModel, count: int, *, seconds: float = 10) -> str:
    """The id of a batch of so many requests."""
    report = provider.batches.submit_batch(items(count), "claude-haiku-5-5", timeout_seconds=5)
    assert (report.status, report.request_count) == ("in_progress", count)
    return report.provider_batch_id


def test_results_come_by_their_ids_in_another_order(
    provider: AnthropicModel, simulator: RunningSimulator
) -> None:
    """Once the batch has ended; each as a whole response with its usage."""
    batch_id = submitted(provider, 20)
    with pytest.raises(ModelError) as early:
        list(provider.batches.batch_results(batch_id))
    assert early.value.code == "not_found_error"
    simulator.advance(11)
    report = provider.batches.batch_status(batch_id)
    assert (report.status, report.counts[Ending.SUCCEEDED]) == ("ended", 20)
    assert report.ended_at is not None
    results = list(provider.batches.batch_results(batch_id))
    ids = [result.custom_id for result in results]
    assert sorted(ids) == sorted(item.custom_id for item in items(20)) != ids
    for result in results:
        assert result.response is not None
        assert result.response.text
        assert result.response.usage.output_tokens > 0
        assert result.response.request_id == batch_id


def test_errors_expiry_and_cancelling_are_told_apart(
    provider: AnthropicModel, simulator: RunningSimulator
) -> None:
    """By ending, with a code for each."""
    simulator.set_provider("anthropic", batches={"seconds": 100, "errored_share": 0.1, "expired_share": 0.1})
    batch_id = submitted(provider, 10)
    simulator.advance(101)
    counts = provider.batches.batch_status(batch_id).counts
    assert [counts[ending] for ending in Ending] == [8, 1, 0, 1]
    codes = {result.ending: result.error_code for result in provider.batches.batch_results(batch_id)}
    assert codes[Ending.EXPIRED] == "batch_expired"
    assert codes[Ending.ERRORED].endswith("_error")
    cancelled = submitted(provider, 10)
    assert provider.batches.cancel_batch(cancelled).status == "canceling"
    simulator.advance(101)
    endings = [result.ending for result in provider.batches.batch_results(cancelled)]
    assert endings == [Ending.CANCELLED] * 10
    assert provider.batches.cancel_batch(cancelled).status == "ended"


def test_batches_are_found_again_by_their_time(provider: AnthropicModel, simulator: RunningSimulator) -> None:
    """Newest first, over pages."""
    ids = [submitted(provider, 1) for _ in range(101)]
    report = provider.batches.batch_status(ids[50])
    found = provider.batches.batches_since(report.created_at)
    assert [batch.provider_batch_id for batch in found] == list(reversed(ids[50:]))
    assert provider.batches.batches_since(report.created_at + timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("fault", "code", "transient"),
    [
        ({"status": 429, "retry_after": 7}, "rate_limit_error", True),
        ({"status": 529}, "overloaded_error", True),
        ({"status": 413}, "request_too_large", False),
        ({"status": 401}, "authentication_error", False),
    ],
)
def test_a_provider_that_refuses_a_batch_says_why(
    provider: AnthropicModel, simulator: RunningSimulator, fault: dict[str, Any], code: str, transient: bool
) -> None:
    """In the same words as for a call."""
    simulator.fault(endpoint="batches", count=1, **fault)
    with pytest.raises(ModelError) as refused:
        submitted(provider, 1)
    assert (refused.value.code, refused.value.transient) == (code, transient)
    assert refused.value.usage is None


def test_a_provider_of_another_kind_takes_no_batches() -> None:
    """That is said before anything is sent."""
    settings = ProviderSettings("bedrock", ProviderKind.BEDROCK, secret="key", region="us-east-1")
    with pytest.raises(ModelError) as refused:
        _ = AnthropicModel(client_of(settings), provider="bedrock").batches
    assert refused.value.code == "no_batches"


def test_time_of_a_batch_is_the_providers(provider: AnthropicModel) -> None:
    """With an expiry a day later."""
    report = provider.batches.batch_status(submitted(provider, 1))
    assert report.expires_at is not None
    assert report.expires_at - report.created_at == timedelta(hours=24)
    assert report.created_at.tzinfo is not None
    assert report.created_at > datetime(2020, 1, 1, tzinfo=UTC)
