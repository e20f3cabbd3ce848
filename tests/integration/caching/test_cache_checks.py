"""Hits by meaning are watched: answered live in the background, complained of by users, and learned from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db.models import F
from django.db.models.functions import Now

from agentplatform.llm.caching.verifying import DEFAULT_THRESHOLD
from apps.budgets.models import Budget, LedgerEntry
from apps.embedder import question_vector
from apps.gateway.cache_check_services import check_decide, checks_take, scope_switch_on
from apps.gateway.models import CacheCheck, CacheScope, Call
from apps.notifications.endpoints import endpoint_create
from apps.notifications.models import Delivery, Notice
from apps.tenants.models import ApiKey, Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.cache_checks import CHECK_TYPE, checks_advance
from apps.workflows.models import Feedback, StepAttempt, Workflow
from apps.workflows.selectors import current_definitions, workflows_of
from apps.workflows.services import feedback_give, workflow_cancel
from apps.workflows.submissions import InvalidSubmission
from tests.integration.caching.conftest import KeepingWorker, Submit
from tests.integration.caching.kept import answer_of, asked, check_of
from tests.unit.conftest import RunningSimulator

Ask = Callable[..., Workflow]
QUESTION, ALIKE = "How do I rotate an API key?", "How can I rotate an API key?"
USE_CASE = "one_question.step_0"
PROBABLE = round(DEFAULT_THRESHOLD + 0.005, 4)
"""Such an answer is served where nothing was learned yet."""


@pytest.fixture
def worker(simulator: RunningSimulator, tenant: Tenant, server: redis.Redis) -> KeepingWorker:
    """A worker of the queue that is submitted to, and of that of the checks."""
    return KeepingWorker(simulator, ("standard", "batch"))


@pytest.fixture
def ask(tenant: Tenant, worker: KeepingWorker, submit: Submit, embedder: None) -> Ask:
    """Asks a question in a run, to be answered with the label unless an answer is kept."""
    CacheScope.objects.create(tenant=tenant, use_case=USE_CASE, pinned_threshold=0.0, checked_share=1.0)
    for question in (QUESTION, ALIKE):
        assert question_vector(tenant.pk, question, timeout_seconds=20)

    def ask_one(question: str, label: str) -> Workflow:
        workflow = submit("one_question", {"question": question, "label": label})
        worker.work()
        workflow.refresh_from_db()
        assert workflow.status == "succeeded", list(
            StepAttempt.objects.values_list("error_message", "traceback")
        )
        return workflow

    return ask_one


def checked(tenant: Tenant, **fields: Any) -> CacheCheck:
    """A hit that is being looked at, of an answer that was probable enough to be served."""
    document = {
        "request": asked(QUESTION).to_json(),
        "served": answer_of("Long ago.").response.to_json(),
        "status": "asked",
    }
    return check_of(tenant, **{"use_case": USE_CASE, "probability": PROBABLE} | document | fields)


def decide(tenant: Tenant, *verdicts: bool, probability: float = PROBABLE) -> CacheScope:
    """Decides so many checks, and returns what is known of their scope then."""
    for agrees in verdicts:
        assert check_decide(checked(tenant, probability=probability).pk, agrees=agrees)
    return CacheScope.objects.get(tenant=tenant, use_case=USE_CASE)


@pytest.mark.parametrize(("live", "verdict"), [("red", "agreed"), ("blue", "differed")])
def test_a_hit_is_answered_live_compared_and_counted(
    ask: Ask,
    worker: KeepingWorker,
    simulator: RunningSimulator,
    tenant: Tenant,
    live: str,
    verdict: str,
) -> None:
    """By a run of the tenant's in the batch queue, which is paid for; what was asked is forgotten afterwards."""
    ask(QUESTION, "red")
    served = ask(ALIKE, live)
    assert served.result == {"answer": "red"}
    assert (Call.objects.get(workflow_id=served.pk).cache or {})["layer"] == "semantic"
    assert checks_advance() == 1
    check = CacheCheck.objects.get()
    run = Workflow.objects.get(pk=check.check_workflow_id)
    assert (run.tenant, run.queue_id, run.input) == (tenant, "batch", {"check_id": str(check.pk)})
    worker.work()
    check.refresh_from_db()
    run.refresh_from_db()
    assert (run.status, run.result["verdict"], check.status) == ("succeeded", verdict, verdict)
    assert (check.request, check.served) == (None, None)
    assert simulator.calls()["total"] == 2
    assert run.cost_usd_micros == LedgerEntry.objects.get(workflow_id=run.pk).cost_usd_micros > 0
    scope = CacheScope.objects.get()
    assert scope.checked == 1
    assert scope.wrong == (verdict == "differed")


def test_wrong_answers_raise_the_threshold_and_at_last_switch_the_scope_off(tenant: Tenant) -> None:
    """The tenant and operators are told once, by numbers alone; checks that wait are given up."""
    scope = decide(tenant, True, True, False)
    assert (scope.threshold, scope.checked, scope.wrong) == (round(PROBABLE + 0.0001, 4), 3, 1)
    waiting = checked(tenant, status="pending")
    scope = decide(tenant, False, False, False, probability=PROBABLE + 0.01)
    assert scope.switched_off_at is not None
    assert "surely more than 1%" in scope.switched_off_because
    notice = Notice.objects.get()
    assert (notice.code, notice.audience, notice.tenant_id) == ("cache.switched_off", "both", tenant.pk)
    assert notice.data["use_case"] == USE_CASE
    assert "Long ago" not in notice.message + str(notice.data)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.request) == ("failed", None)


def test_a_scope_that_is_switched_on_again_begins_anew(tenant: Tenant) -> None:
    """Otherwise the next check would switch it off again."""
    scope_switch_on(decide(tenant, False, False, False))
    scope = decide(tenant, True)
    assert (scope.switched_off_at, scope.checked, scope.wrong) == (None, 1, 0)
    assert scope.threshold == DEFAULT_THRESHOLD


def test_a_check_is_decided_once(tenant: Tenant) -> None:
    """However often its run says so."""
    check = checked(tenant)
    assert check_decide(check.pk, agrees=False)
    assert not check_decide(check.pk, agrees=True)
    assert CacheCheck.objects.get().status == "differed"


def test_other_tenants_and_use_cases_learn_nothing_of_it(tenant: Tenant) -> None:
    """Each has its own."""
    other = tenant_create(name="other", tier="standard")
    decide(other, True)
    decide(tenant, False, False, False)
    assert CacheScope.objects.get(tenant=other).threshold == DEFAULT_THRESHOLD


@pytest.fixture
def api_key(tenant: Tenant) -> ApiKey:
    """A key of the tenant's."""
    return api_key_issue(name="app", tenant=tenant).api_key


def test_a_thumbs_down_counts_until_it_is_withdrawn(ask: Ask, api_key: ApiKey) -> None:
    """Once, however often it is given; a live answer that agrees does not make up for it."""
    ask(QUESTION, "red")
    served = ask(ALIKE, "red")
    call = Call.objects.get(workflow_id=served.pk)
    # It was as good as certain, above which no threshold goes.
    Call.objects.filter(pk=call.pk).update(cache={**(call.cache or {}), "probability": PROBABLE})
    for _ in range(2):
        feedback_give(served, api_key=api_key, rating=Feedback.Rating.DOWN)
    complaint = CacheCheck.objects.get(source="feedback")
    assert (complaint.status, complaint.use_case, complaint.workflow_id) == ("differed", USE_CASE, served.pk)
    check_decide(CacheCheck.objects.get(source="sample").pk, agrees=True)
    scope = CacheScope.objects.get()
    assert (scope.checked, scope.wrong) == (1, 1)
    assert scope.threshold is not None
    assert scope.threshold > complaint.probability
    feedback_give(served, api_key=api_key, rating=Feedback.Rating.UP)
    scope.refresh_from_db()
    assert (scope.checked, scope.wrong) == (1, 0)
    assert scope.threshold <= max(DEFAULT_THRESHOLD, complaint.probability)


def test_a_thumbs_down_on_a_result_that_was_given_again_counts_for_its_source(
    ask: Ask, submit: Submit, api_key: ApiKey
) -> None:
    """The answers are in that run. One on answers that were bought counts for nothing."""
    bought = ask(QUESTION, "red")
    source = ask(ALIKE, "red")
    feedback_give(bought, api_key=api_key, rating=Feedback.Rating.DOWN)
    assert not CacheCheck.objects.filter(source="feedback").exists()
    given_again = submit("one_noop")
    workflow_cancel(given_again.pk)
    given_again.refresh_from_db()
    given_again.cache = {"source_workflow_id": str(source.pk)}
    feedback_give(given_again, api_key=api_key, rating=Feedback.Rating.DOWN)
    assert CacheCheck.objects.get(source="feedback").call_id == Call.objects.get(workflow_id=source.pk).pk


def test_a_check_keeps_to_its_tenants_budget(
    tenant: Tenant, worker: KeepingWorker, simulator: RunningSimulator
) -> None:
    """Nothing is asked while there is no room; the check fails with its run."""
    Budget.objects.create(name="none", scope="tenant", tenant=tenant, daily_usd_micros=1)
    check = checked(tenant, status="pending")
    checks_advance()
    worker.work()
    assert simulator.calls()["total"] == 0
    run = Workflow.objects.get()
    assert run.status == "held"
    workflow_cancel(run.pk)
    checks_advance()
    check.refresh_from_db()
    assert (check.status, check.request) == ("failed", None)


def test_of_no_tenant_more_is_checked_than_is_set_for_an_hour(tenant: Tenant, settings: Any) -> None:
    """The others' are not held up by it."""
    settings.CACHE_CHECKS_AN_HOUR = 2
    other = tenant_create(name="other", tier="standard")
    for _ in range(3):
        checked(tenant, status="pending")
    theirs = checked(other, status="pending")
    taken = checks_take()
    assert (len(taken), theirs in taken) == (3, True)
    assert checks_take() == []
    CacheCheck.objects.update(
        asked_at=F("asked_at") - timedelta(minutes=61), check_workflow_id=F("workflow_id")
    )
    assert len(checks_take()) == 1


def test_a_check_whose_start_was_lost_is_started_again_as_the_same_run(tenant: Tenant) -> None:
    """What it costs is paid once."""
    check = checked(tenant, status="pending")
    checks_advance()
    CacheCheck.objects.update(check_workflow_id=None, asked_at="2020-01-01T00:00:00Z")
    checks_advance()
    check.refresh_from_db()
    assert Workflow.objects.get().pk == check.check_workflow_id


def test_what_nobody_had_time_for_is_given_up(tenant: Tenant, settings: Any) -> None:
    """What was asked is not kept for longer than a day."""
    settings.CACHE_CHECKS_AN_HOUR = 0
    old, new = (checked(tenant, status="pending") for _ in range(2))
    CacheCheck.objects.filter(pk=old.pk).update(created_at="2020-01-01T00:00:00Z")
    checks_advance()
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.status, old.request, new.status) == ("failed", None, "pending")


def test_tenants_neither_see_nor_submit_checks(tenant: Tenant, submit: Submit, worker: KeepingWorker) -> None:
    """Nor are they told of their end; other runs they are told of."""
    endpoint_create(tenant=tenant, url="https://example.com/hook")
    checked(tenant, status="pending")
    checks_advance()
    run = Workflow.objects.get()
    own = submit("one_noop")
    worker.work()
    assert list(workflows_of(tenant)) == [own]
    assert CHECK_TYPE not in current_definitions().values_list("type", flat=True)
    with pytest.raises(InvalidSubmission, match="There is no definition"):
        submit(CHECK_TYPE, run.input)
    run.refresh_from_db()
    assert run.finished_at is not None
    told = Delivery.objects.filter(event_type="workflow.finished").values_list("data__workflow_id", flat=True)
    assert list(told) == [str(own.pk)]


def test_a_run_without_an_open_check_asks_nothing(
    tenant: Tenant, worker: KeepingWorker, simulator: RunningSimulator
) -> None:
    """It was decided meanwhile, or purged."""
    checked(tenant, status="pending")
    checks_advance()
    CacheCheck.objects.update(status="failed", decided_at=Now(), request=None, served=None)
    worker.work()
    assert simulator.calls()["total"] == 0
    assert Workflow.objects.get().result == {"verdict": "failed"}
