"""The same request is paid for once: whoever asks again is given what was bought."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from django.db.models.functions import Now

from agentplatform.llm.caching.policy import CacheControl
from apps.budgets.models import LedgerEntry
from apps.gateway.answers import PREFIX
from apps.gateway.models import CacheEntry, Call
from apps.tenants.services import tenant_create
from apps.workflows.dispatching import wake_due
from apps.workflows.models import Step
from tests.integration.caching.conftest import Answered, KeepingWorker, Submit
from tests.unit.conftest import RunningSimulator


def test_the_same_request_is_answered_from_the_cache(answered: Answered, simulator: RunningSimulator) -> None:
    """With the same answer, at no cost, and said: which run it was bought for, and how long ago."""
    first, second = answered(), answered("How  long is a lease? ")
    assert second.result == first.result
    assert (first.status, second.status) == ("succeeded", "succeeded")
    assert simulator.calls()["total"] == 1
    assert first.cost_usd_micros > 0
    assert second.cost_usd_micros == 0
    bought, served = Call.objects.order_by("started_at")
    assert bought.cache is None
    assert served.cache["layer"] == "exact"
    assert served.cache["source_workflow_id"] == str(first.pk)
    assert (served.cache["similarity"], served.status) == (1.0, "settled")
    assert 0 <= served.cache["age_seconds"] < 60
    assert second.degradations == []


def test_a_hit_is_entered_in_the_ledger_at_no_cost(answered: Answered) -> None:
    """With what it served, and what that would have cost at the price of its tier."""
    answered()
    answered()
    bought, hit = LedgerEntry.objects.order_by("id")
    assert (hit.kind, hit.cache_layer, hit.outcome) == ("cache_hit", "exact", "settled")
    assert (hit.cost_usd_micros, hit.input_tokens, hit.output_tokens) == (0, 0, 0)
    assert hit.served_tokens == bought.input_tokens + bought.output_tokens
    assert hit.avoided_usd_micros == bought.cost_usd_micros > 0
    assert (hit.tier, hit.model, hit.agent) == (bought.tier, bought.model, bought.agent)


def test_another_question_version_or_tenant_is_not(answered: Answered, simulator: RunningSimulator) -> None:
    """Each is bought."""
    other = tenant_create(name="other", tier="standard")
    answered()
    answered("How long is a claim?")
    answered(version=2)
    answered(tenant=other)
    assert simulator.calls()["total"] == 4
    assert LedgerEntry.objects.filter(kind="cache_hit").count() == 0


def test_what_redis_has_lost_is_found_in_the_database(
    answered: Answered, simulator: RunningSimulator, server: redis.Redis
) -> None:
    """And is put back for the next."""
    first = answered()
    server.flushdb()
    assert answered().result == first.result
    assert server.keys(f"{PREFIX}*")
    assert simulator.calls()["total"] == 1


def test_an_answer_serves_until_it_expires(
    answered: Answered, simulator: RunningSimulator, server: redis.Redis
) -> None:
    """Then it is bought anew, and stands in its place."""
    answered()
    server.flushdb()
    CacheEntry.objects.update(expires_at=Now() - timedelta(seconds=1))
    again = answered()
    assert simulator.calls()["total"] == 2
    entry = CacheEntry.objects.get()
    assert entry.source_workflow_id == again.pk
    assert entry.expires_at > again.finished_at + timedelta(hours=23)


@pytest.mark.parametrize("value", [b"", b"no answer", b"12345678" + b"{}"])
def test_a_corrupt_value_is_dropped(
    answered: Answered, simulator: RunningSimulator, server: redis.Redis, value: bytes
) -> None:
    """It is no error: the answer is found elsewhere, or bought."""
    first = answered()
    (name,) = server.keys(f"{PREFIX}*")
    server.set(name, value)
    assert answered().result == first.result
    assert server.get(name) != value
    assert simulator.calls()["total"] == 1


def test_a_submission_may_ask_for_a_new_answer(answered: Answered, simulator: RunningSimulator) -> None:
    """`no-cache`: it is bought, and kept in place of the old one."""
    answered()
    second = answered(cache_control=CacheControl.NO_CACHE)
    third = answered()
    assert simulator.calls()["total"] == 2
    assert second.cost_usd_micros > 0
    assert Call.objects.get(workflow_id=third.pk).cache["source_workflow_id"] == str(second.pk)


def test_a_submission_may_forbid_that_anything_is_kept(
    answered: Answered, simulator: RunningSimulator, server: redis.Redis
) -> None:
    """`no-store`: nothing is given, nothing stays."""
    answered(cache_control=CacheControl.NO_STORE)
    assert (CacheEntry.objects.count(), server.keys(f"{PREFIX}*")) == (0, [])
    answered(cache_control=CacheControl.NO_STORE)
    assert simulator.calls()["total"] == 2


def test_an_agent_that_declares_nothing_is_never_answered_from_the_cache(
    submit: Submit, worker: KeepingWorker, simulator: RunningSimulator
) -> None:
    """Nobody knows whether its answers may serve again."""
    for _ in range(2):
        submit("one_ask", {"calls": 1})
    worker.work()
    assert simulator.calls()["total"] == 2
    assert CacheEntry.objects.count() == 0


@pytest.mark.parametrize("stop_reason", ["refusal", "max_tokens"])
def test_an_answer_with_a_flaw_is_not_kept_for_long(
    answered: Answered, simulator: RunningSimulator, server: redis.Redis, stop_reason: str
) -> None:
    """It is shared with those who ask while it is made, no longer."""
    simulator.fault(stop_reason=stop_reason, count=1)
    answered()
    assert CacheEntry.objects.count() == 0
    assert all(0 < server.pttl(name) <= 30_000 for name in server.keys(f"{PREFIX}*"))


def test_a_later_attempt_replays_what_it_was_given(
    answered: Answered,
    worker: KeepingWorker,
    submit: Submit,
    simulator: RunningSimulator,
    server: redis.Redis,
) -> None:
    """Though the answer is no longer kept by then: what a step has been answered stays."""
    first = answered()
    second = submit("one_question", {"question": "How long is a lease?", "fail_once": True})
    worker.work()
    server.flushdb()
    CacheEntry.objects.all().delete()
    Step.objects.filter(workflow=second, status="waiting").update(run_at=second.created_at)
    wake_due()
    worker.work()
    second.refresh_from_db()
    assert (second.status, second.result) == ("succeeded", first.result)
    assert simulator.calls()["total"] == 1
    assert LedgerEntry.objects.filter(workflow_id=second.pk).count() == 1
