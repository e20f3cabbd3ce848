"""A question that means the same is answered from the cache; one that only looks alike is not."""

from __future__ import annotations

import pytest
import redis

from agentplatform.llm.caching.verifying import DEFAULT_THRESHOLD
from apps.budgets.models import Budget, LedgerEntry
from apps.gateway import cache_selectors
from apps.gateway.models import CacheCheck, CacheEntry, CacheScope, CacheVector, Call
from apps.knowledge.services import document_create
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from tests.integration.caching.conftest import Answered
from tests.unit.conftest import RunningSimulator

pytestmark = pytest.mark.usefixtures("embedder")

ASKED = "How do I rotate an API key?"
SAME = "How can I rotate an API key?"


@pytest.fixture
def scope(tenant: Tenant) -> CacheScope:
    """The settings of the use case that is tested."""
    return CacheScope.objects.create(tenant=tenant, use_case="one_question.step_0", checked_share=0.0)


def layers() -> list[str | None]:
    """Where each call's answer came from, in order; None where it was bought."""
    return [
        told["layer"] if told else None
        for told in Call.objects.order_by("started_at").values_list("cache", flat=True)
    ]


def test_a_question_in_other_words_is_given_the_same_answer(
    answered: Answered, simulator: RunningSimulator, scope: CacheScope
) -> None:
    """And how alike they are is said."""
    first, second = answered(ASKED), answered(SAME)
    assert second.result == first.result
    assert simulator.calls()["total"] == 1
    told = Call.objects.get(workflow_id=second.pk).cache
    assert told["layer"] == "semantic"
    assert 0.9 < told["similarity"] < 1
    assert told["probability"] >= DEFAULT_THRESHOLD
    assert told["source_workflow_id"] == str(first.pk)
    hit = LedgerEntry.objects.get(workflow_id=second.pk)
    assert (hit.kind, hit.cache_layer, hit.cost_usd_micros) == ("cache_hit", "semantic", 0)
    assert hit.avoided_usd_micros == first.cost_usd_micros
    assert second.degradations == []
    assert CacheVector.objects.count() == 1


@pytest.mark.parametrize(
    "other",
    [
        "How do I revoke an API key?",
        "How do I not rotate an API key?",
        "Why do I rotate an API key?",
    ],
)
def test_one_that_only_looks_alike_is_bought(
    answered: Answered, simulator: RunningSimulator, scope: CacheScope, other: str
) -> None:
    """Another verb, a negation, another question word."""
    answered(ASKED)
    answered(other)
    assert simulator.calls()["total"] == 2


def test_neither_another_version_nor_another_tenant_shares_it(
    answered: Answered, simulator: RunningSimulator, scope: CacheScope
) -> None:
    """However it is asked."""
    answered(ASKED)
    answered(SAME, version=2)
    answered(SAME, tenant=tenant_create(name="other", tier="standard"))
    assert simulator.calls()["total"] == 3


def test_a_change_of_the_knowledge_base_ends_what_was_answered_from_it(
    answered: Answered, tenant: Tenant, scope: CacheScope, simulator: RunningSimulator
) -> None:
    """The question is answered from what stands there now, in whatever words it is asked."""
    document = {"title": "Keys", "content_type": "text/plain"}
    document_create(tenant=tenant, content="To rotate an API key, press Rotate in the admin.", **document)
    answered(ASKED, "answer_question")
    document_create(tenant=tenant, content="To rotate an API key, press Renew in the console.", **document)
    before = simulator.calls()["total"]
    changed = answered(SAME, "answer_question")
    agents = Call.objects.filter(workflow_id=changed.pk).values_list("agent", "cache__layer")
    assert dict(agents) == {"classify_question": "semantic", "answer_question": None}
    assert simulator.calls()["total"] == before + 1


def test_a_scope_that_is_switched_off_answers_by_the_same_words_alone(
    answered: Answered, simulator: RunningSimulator, scope: CacheScope
) -> None:
    """By an operator, or by itself."""
    CacheScope.objects.update(is_enabled=False)
    for question in (ASKED, SAME, ASKED):
        answered(question)
    assert layers() == [None, None, "exact"]


def test_a_pinned_threshold_holds(answered: Answered, simulator: RunningSimulator, scope: CacheScope) -> None:
    """At 1 nothing but certainty is served."""
    CacheScope.objects.update(pinned_threshold=1.0)
    for question in (ASKED, SAME):
        answered(question)
    assert layers() == [None, None]


def test_while_a_budget_is_strained_the_floor_is_enough_and_is_said(
    answered: Answered, tenant: Tenant, simulator: RunningSimulator, scope: CacheScope
) -> None:
    """A hit that would not be one otherwise, labelled."""
    CacheScope.objects.update(pinned_threshold=1.0)
    first = answered(ASKED)
    Budget.objects.create(name="acme", scope="tenant", tenant=tenant, daily_usd_micros=1)
    second = answered(SAME)
    assert (second.status, second.result) == ("succeeded", first.result)
    assert [told["code"] for told in second.degradations] == ["cache_less_alike"]
    assert layers() == [None, "semantic"]


def test_a_share_of_hits_is_put_down_to_be_checked(
    answered: Answered, simulator: RunningSimulator, scope: CacheScope
) -> None:
    """With what was asked and what was served; once for each call."""
    CacheScope.objects.update(checked_share=1.0)
    answered(ASKED)
    second = answered(SAME)
    check = CacheCheck.objects.get()
    assert (check.status, check.source, check.use_case) == ("pending", "sample", scope.use_case)
    assert (check.workflow_id, check.entry_id) == (second.pk, CacheEntry.objects.get().pk)
    assert SAME in str(check.request)
    assert check.served["content"] == Call.objects.get(workflow_id=second.pk).response["content"]


def test_a_large_scope_is_searched_through_the_index(
    answered: Answered,
    simulator: RunningSimulator,
    scope: CacheScope,
    server: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the same outcome."""
    monkeypatch.setattr(cache_selectors, "EXACT_SCAN_ENTRIES", 0)
    for question in (ASKED, SAME):
        answered(question)
        cache_selectors._size_of.cache_clear()
    assert layers() == [None, "semantic"]
