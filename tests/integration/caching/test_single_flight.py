"""Who asks the same at the same time waits for the one that is buying."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from agentplatform.llm.caching.answers import KeptAnswer, Turn
from agentplatform.llm.caching.cached import Cached
from agentplatform.llm.caching.keys import CacheKey
from agentplatform.llm.caching.policy import CachePolicy, Caching
from agentplatform.llm.caching.verifying import PairVerifier
from agentplatform.llm.errors import Interrupted
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.planning import CallPlace
from agentplatform.llm.tiers import Tier
from apps.budgets.models import LedgerEntry
from apps.context_cache import quick_client
from apps.gateway import answers as stores
from apps.gateway.answers import SharedAnswers
from apps.gateway.models import Call
from apps.workflows.models import Workflow
from apps.workflows.store import DatabaseCallStore
from tests.integration.caching.conftest import LAYERS, KeepingWorker, Submit
from tests.integration.caching.kept import answer_of
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import context, identity

QUESTION = {"question": "How long is a lease?"}


def key_of(number: int = 1) -> CacheKey:
    return CacheKey(uuid.UUID(int=number), "one_question.step_0", "", f"{number:064x}", "")


@pytest.fixture
def processes(server: redis.Redis) -> list[SharedAnswers]:
    """The stores as three processes have them."""
    return [SharedAnswers(quick_client(settings.REDIS_URL), LAYERS) for _ in range(3)]


def test_a_burst_of_equal_submissions_makes_one_call(
    simulator: RunningSimulator, server: redis.Redis, submit: Submit
) -> None:
    """Two hundred, by three workers: all are answered, one has paid."""
    simulator.fault(delay_seconds=0.3)
    workers = [KeepingWorker(simulator) for _ in range(3)]
    submitted = [submit("one_question", QUESTION).pk for _ in range(200)]
    threads = [threading.Thread(target=worker.work) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Workflow.objects.filter(pk__in=submitted, status="succeeded").count() == 200
    assert simulator.calls()["total"] == 1
    ledger = LedgerEntry.objects.values_list("kind", flat=True)
    assert sorted(ledger) == ["cache_hit"] * 199 + ["call"]
    layers = set(Call.objects.exclude(cache=None).values_list("cache__layer", flat=True))
    assert layers <= {"exact", "in_flight"}
    assert "in_flight" in layers


def test_one_has_the_turn_and_the_others_wait(processes: list[SharedAnswers]) -> None:
    """In whichever process; once it has the answer all have."""
    first, second, third = processes
    assert first.look(key_of(), "a:1") is Turn.OURS
    assert second.look(key_of(), "b:1") is Turn.OTHERS
    first.put(key_of(), "a:1", answer_of(), 60)
    for process in (second, third):
        found = process.look(key_of(), "b:1")
        assert isinstance(found, KeptAnswer)
        assert found.response.text == "Yes."


def test_one_that_gives_up_hands_the_turn_on(processes: list[SharedAnswers]) -> None:
    """A call that failed is nobody's answer."""
    first, second, _ = processes
    assert first.look(key_of(), "a:1") is Turn.OURS
    first.give_up(key_of(), "a:1")
    assert second.look(key_of(), "b:1") is Turn.OURS


def test_a_lease_is_renewed_while_its_holder_lives_and_taken_over_when_it_is_dead(
    processes: list[SharedAnswers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one of those who wait."""
    monkeypatch.setattr(stores, "LEASE_SECONDS", 0.9)
    first, second, third = processes
    assert first.look(key_of(), "a:1") is Turn.OURS
    time.sleep(1.2)
    assert second.look(key_of(), "b:1") is Turn.OTHERS
    first._held.clear()  # as if its process were gone
    until = time.monotonic() + 5
    turns = set()
    while Turn.OURS not in turns and time.monotonic() < until:
        turns = {second.look(key_of(), "b:1"), third.look(key_of(), "c:1")}
        time.sleep(0.02)
    assert turns == {Turn.OURS, Turn.OTHERS}


def test_a_call_that_goes_with_a_batch_is_not_waited_for_by_those_in_haste(
    processes: list[SharedAnswers],
) -> None:
    """Its own step is told nothing of it: the batch lane knows."""
    first, second, _ = processes
    assert first.look(key_of(), "a:1") is Turn.OURS
    first.give_up(key_of(), "a:1", batch_seconds=60)
    assert second.look(key_of(), "b:1") is Turn.IN_BATCH
    assert first.look(key_of(), "a:2") is Turn.UNKNOWN
    first.put(key_of(), "a:2", answer_of(), 60)
    assert isinstance(second.look(key_of(), "b:2"), KeptAnswer)


def test_who_waits_does_so_within_its_own_deadline(processes: list[SharedAnswers]) -> None:
    """Then its attempt has failed in passing, and nothing was bought."""
    first, second, _ = processes
    request = ModelRequest(
        Tier.FAST, ({"role": "user", "content": "?"},), 10, cache=CachePolicy(Caching.EXACT)
    )
    place = CallPlace(uuid.UUID(int=1), 0, "")
    journal = StepJournal(identity(), DatabaseCallStore())
    cached = Cached(None, second, journal, PairVerifier.load)  # type: ignore[arg-type]  # nothing is bought
    asked = cached._asked(request, context(), place)
    assert first.look(asked.key, "a:1") is Turn.OURS
    with pytest.raises(Interrupted) as caught:
        cached.complete(request, context(seconds=0.3), place)
    assert (caught.value.code, caught.value.transient) == ("deadline_exceeded", True)
    assert journal.pending == []
    first.give_up(asked.key, "a:1")


def test_a_failed_call_is_followed_by_that_of_one_who_waited(
    simulator: RunningSimulator, server: redis.Redis, submit: Submit
) -> None:
    """Everybody is answered, and one has paid."""
    simulator.fault(delay_seconds=0.2, status=400, count=1)
    worker = KeepingWorker(simulator)
    runs = [submit("one_question", QUESTION) for _ in range(5)]
    worker.work()
    statuses = sorted(
        Workflow.objects.filter(pk__in=[run.pk for run in runs]).values_list("status", flat=True)
    )
    assert statuses == ["failed"] + ["succeeded"] * 4
    assert LedgerEntry.objects.filter(kind="call", cost_usd_micros__gt=0).count() == 1


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def test_a_redis_that_hangs_is_passed_by_within_50_ms(silent_server: str) -> None:
    """Then at once, for a while."""
    store = SharedAnswers(quick_client(silent_server, 0.05), LAYERS)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        assert store.look(key_of(), "a:1") is Turn.UNKNOWN
        seconds.append(time.perf_counter() - started)
    assert min(seconds[:3]) < 0.06
    assert min(seconds[3:]) < 0.01


def test_without_redis_everybody_is_answered(
    simulator: RunningSimulator, silent_server: str, submit: Submit
) -> None:
    """From the database, or by the model: never by an error."""
    worker = KeepingWorker(simulator, client=quick_client(silent_server, 0.05))
    runs: list[Any] = []
    for _ in range(2):
        runs.append(submit("one_question", QUESTION))
        worker.work()
    for run in runs:
        run.refresh_from_db()
    assert [run.status for run in runs] == ["succeeded"] * 2
    assert runs[0].result == runs[1].result
    assert simulator.calls()["total"] == 1
