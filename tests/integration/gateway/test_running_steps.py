"""Steps that call models, run by the real executor on the real database, over HTTP: every call is paid for once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum

from agentplatform.agents.registry import registry
from agentplatform.execution.attempts import ClaimedStep, Outcome
from agentplatform.execution.executor import ContinuationLimits, Executor
from agentplatform.execution.running import RunningSteps
from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, Catalogue
from agentplatform.simulator.settings import SimulatorSettings
from apps.budgets.models import LedgerEntry
from apps.database import call_function
from apps.gateway.models import Call
from apps.knowledge.services import document_create
from apps.tenants.models import Tenant
from apps.workflows.dispatching import wake_due
from apps.workflows.models import Step, StepAttempt, Workflow
from apps.workflows.services import workflow_cancel
from apps.workflows.step_runs import DatabaseStepRuns
from apps.workflows.store import DatabaseCallStore, DatabaseStepStore
from tests.integration.conftest import Hand
from tests.unit.conftest import RunningSimulator, serve
from tests.unit.llm.conftest import gateway_to, provider_at

Submit = Callable[..., Workflow]


class Nobody:
    """Whom nothing is reported to."""

    def started(self, step: ClaimedStep) -> None: ...

    def ended(self, step: ClaimedStep, outcome: Outcome, seconds: float) -> None: ...

    def text(self, step: ClaimedStep, delta: str) -> None: ...

    def restart_text(self, step: ClaimedStep) -> None: ...


@pytest.fixture(scope="module")
def _simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture
def simulator(_simulator: RunningSimulator) -> RunningSimulator:
    """A simulator that answers at once, without faults and with no calls counted."""
    _simulator.reset()
    return _simulator


class Worker:
    """Runs what is admitted until nothing is, without waiting for retries."""

    def __init__(
        self, simulator: RunningSimulator, hand: Hand, catalogue: Catalogue = DEFAULT_CATALOGUE
    ) -> None:
        self.hand = hand
        provider = provider_at(simulator.url)
        self.executor = Executor(
            store=DatabaseStepStore(hand.name),
            calls=DatabaseCallStore(),
            gateway=gateway_to({"anthropic": provider}, catalogue),
            find_agent=registry.find_agent,
            running=RunningSteps(),
            reports=Nobody(),
            limits=ContinuationLimits(),
            runs=DatabaseStepRuns(),
        )

    def _run(self, hint: tuple[Any, int]) -> None:
        try:
            self.executor.run(*hint)
        finally:
            connection.close()

    def run_all(self, workflow: Workflow) -> Workflow:
        """The workflow as it has ended."""
        with ThreadPoolExecutor(8) as threads:
            for _ in range(20):
                list(threads.map(self._run, self.hand.admit()))
                workflow.refresh_from_db()
                if workflow.finished_at is not None:
                    return workflow
                Step.objects.filter(status="waiting").update(run_at=workflow.created_at)
                wake_due()
        raise AssertionError(f"{workflow.status}: {list(Step.objects.values('key', 'status'))}")


@pytest.fixture
def worker(simulator: RunningSimulator, hand: Hand) -> Worker:
    """A worker of eight threads."""
    return Worker(simulator, hand)


def assert_paid_once(workflow: Workflow, simulator: RunningSimulator) -> None:
    """What it cost is what the ledger says, which is what its calls cost; and no call is left open."""
    ledger = LedgerEntry.objects.filter(workflow_id=workflow.pk)
    calls = Call.objects.filter(workflow_id=workflow.pk)
    assert workflow.cost_usd_micros == (ledger.aggregate(sum=Sum("cost_usd_micros"))["sum"] or 0)
    assert workflow.cost_usd_micros == (calls.aggregate(sum=Sum("cost_usd_micros"))["sum"] or 0)
    assert set(calls.values_list("status", flat=True)) <= {"settled", "failed"}
    assert calls.count() == simulator.calls()["total"]
    assert ledger.values("call_id").distinct().count() == ledger.count()


def test_a_question_is_answered_from_the_knowledge_base_and_paid_for(
    worker: Worker, submit: Submit, tenant: Tenant, simulator: RunningSimulator
) -> None:
    """Two calls: to the fast model, which is pinned, then to the one that the question's complexity asks for."""
    content = "# API keys\n\nTo rotate an API key, choose the action 'Rotate' in the admin."
    document = document_create(tenant=tenant, title="Keys", content=content, content_type="text/markdown")
    workflow = worker.run_all(submit("answer_question", {"question": "How do I rotate an API key?"}))
    assert workflow.status == "succeeded"
    assert workflow.result["sources"][0]["document_id"] == str(document.pk)
    assert_paid_once(workflow, simulator)
    first, second = LedgerEntry.objects.order_by("id")
    assert (first.tier, first.model, first.agent) == ("fast", "claude-haiku-5-5", "classify_question")
    assert (second.agent, second.task_type, second.estimated) == ("answer_question", "answer_question", False)
    pinned, routed = Call.objects.order_by("started_at")
    assert (pinned.complexity, pinned.routing_reason) == (None, "pinned by its step")
    assert routed.complexity is not None
    assert routed.routing_reason.startswith(f"complexity {routed.complexity:.2f}")


def test_an_attempt_that_follows_another_buys_only_what_is_new(
    worker: Worker, submit: Submit, simulator: RunningSimulator
) -> None:
    """Three calls are made in all, though the first attempt failed after two."""
    workflow = worker.run_all(submit("one_ask", {"calls": 3, "fail_once_after": 2}))
    assert workflow.status == "succeeded"
    assert Step.objects.get().attempt == 2
    assert simulator.calls()["total"] == 3
    assert_paid_once(workflow, simulator)


def test_calls_that_break_off_or_are_refused_are_accounted_for(
    worker: Worker, submit: Submit, simulator: RunningSimulator
) -> None:
    """A broken one as an estimate, a refused one at nothing; the call is tried again after each."""
    simulator.fault(break_stream_after=2, count=1)
    simulator.fault(status=529, count=1)
    workflow = worker.run_all(submit("one_ask"))
    assert workflow.status == "succeeded"
    assert_paid_once(workflow, simulator)
    told = Call.objects.order_by("started_at").values_list("status", "error_code", "estimated")
    assert list(told) == [
        ("failed", "connection_error", True),
        ("failed", "overloaded_error", False),
        ("settled", "", False),
    ]
    assert list(LedgerEntry.objects.order_by("id").values_list("estimated", flat=True)) == [
        True,
        False,
        False,
    ]
    assert not StepAttempt.objects.exists()


def test_steps_in_parallel_add_up(worker: Worker, submit: Submit, simulator: RunningSimulator) -> None:
    """Sixteen at a time on eight threads, two calls each: settlements in mid-step and with the finish."""
    workflow = worker.run_all(submit("each_asks", {"items": list(range(16)), "calls": 2}))
    assert workflow.status == "succeeded"
    assert len(workflow.result) == 16
    assert simulator.calls()["total"] == 32
    assert_paid_once(workflow, simulator)


def test_an_output_that_cannot_be_stored_is_still_paid_for(
    worker: Worker, submit: Submit, simulator: RunningSimulator
) -> None:
    """The step gives up at once and says why; its call is settled."""
    workflow = worker.run_all(submit("one_ask_for_nothing"))
    assert (workflow.status, workflow.error["code"]) == ("failed", "output_not_json")
    assert workflow.cost_usd_micros > 0
    assert simulator.calls()["total"] == 1
    assert_paid_once(workflow, simulator)


@pytest.mark.parametrize(
    "output",
    [
        "\\u0000",
        "\\\\u0000",
        '\\"\\u0000\n',
        {"\\u0000": ["\\u0000"]},
        "é😀\u2028",
        None,
        [],
        {},
        0,
        1.5,
        True,
        2**53,
    ],
)
@pytest.mark.parametrize("type_", ["one_echo", "two_echoes"])
def test_an_output_is_stored_as_it_is(worker: Worker, submit: Submit, output: Any, type_: str) -> None:
    """Whatever JSON it is, and whatever it looks like."""
    workflow = worker.run_all(submit(type_, {"output": output}))
    assert (workflow.status, workflow.result) == ("succeeded", output)


def test_what_no_database_can_keep_of_an_output_is_left_out(worker: Worker, submit: Submit) -> None:
    """U+0000, between what can be kept."""
    workflow = worker.run_all(submit("one_echo", {"output": ["a\x00b", "\\\x00"]}))
    assert workflow.result == ["ab", "\\"]


def test_a_long_conversation_fits_the_smallest_window_that_may_serve_it(
    simulator: RunningSimulator, hand: Hand, submit: Submit
) -> None:
    """Its reply is asked for with as much of it as there is room for, however much was said."""
    small = {
        tier: replace(settings, context_window_tokens=8_000, max_output_tokens=2_000)
        for tier, settings in DEFAULT_CATALOGUE.tiers.items()
    }
    for number in range(12):
        said = submit("converse", {"message": f"{number}. {'word ' * 1_500}"}, session_id="chat-1")
        call_function("knowledge_answer", [said.pk, "word " * 500], ["uuid", "text"])
        workflow_cancel(said.pk)
    asked = submit("converse", {"message": "What did I say last?"}, session_id="chat-1")
    workflow = Worker(simulator, hand, Catalogue(small)).run_all(asked)
    assert workflow.status == "succeeded"
    call = Call.objects.get(workflow_id=workflow.pk)
    assert 200 < call.input_tokens < 1_000
