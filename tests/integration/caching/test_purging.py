"""What is purged is not served again, neither by Redis nor by the database; what is not meant stays."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from agentplatform.identifiers import uuid7
from apps.gateway.cache_services import answers_expire, answers_purge
from apps.gateway.models import CacheCheck, CacheEntry
from apps.tenants.models import Tenant, User
from apps.tenants.services import tenant_create
from apps.workflows.cached_results import cache_purge, results_purge
from apps.workflows.letters import OperatorAction
from apps.workflows.models import Workflow
from apps.workflows.operations import Actor
from tests.integration.caching.conftest import Submit
from tests.integration.caching.kept import asked, check_of, is_kept, keep, serve

BOTH, NEITHER = (True, True), (False, False)
ONE, OTHER = asked("Which one?"), asked("Which other?")
KIND = asked("Which kind?", "answer_question.classify")


@pytest.fixture
def other_tenant(tenant: Tenant) -> Tenant:
    """Another tenant."""
    return tenant_create(name="other", tier="standard")


def test_by_the_id_of_a_run_its_answers_are_purged_and_those_made_of_them(tenant: Tenant) -> None:
    """Also of a run that was served by one that was served: what it asked was made of that."""
    poisoned = uuid7()
    first = keep(tenant, ONE, workflow_id=poisoned)
    second = keep(tenant, OTHER, workflow_id=serve(tenant, first, uuid7()).workflow_id)
    keep(tenant, KIND, workflow_id=serve(tenant, second, uuid7()).workflow_id)
    clean = asked("What is clean?")
    keep(tenant, clean)
    assert answers_purge(workflow_id=poisoned) == 3
    assert [is_kept(tenant, request) for request in (ONE, OTHER, KIND)] == [NEITHER] * 3
    assert is_kept(tenant, clean) == BOTH


def test_what_redis_has_alone_is_purged_too(tenant: Tenant) -> None:
    """The row is gone, or was never written: the run has not settled."""
    poisoned = uuid7()
    keep(tenant, ONE, workflow_id=poisoned)
    CacheEntry.objects.all().delete()
    assert is_kept(tenant, ONE) == (True, False)
    assert answers_purge(workflow_id=poisoned) == 0
    assert is_kept(tenant, ONE) == NEITHER


def test_a_tenants_answers_are_purged_and_no_others(tenant: Tenant, other_tenant: Tenant) -> None:
    """All of them."""
    for owner in (tenant, other_tenant):
        keep(owner, ONE)
        keep(owner, KIND)
    assert answers_purge(tenant=tenant) == 2
    assert (is_kept(tenant, ONE), is_kept(tenant, KIND)) == (NEITHER, NEITHER)
    assert (is_kept(other_tenant, ONE), is_kept(other_tenant, KIND)) == (BOTH, BOTH)


def test_a_use_cases_answers_are_purged(tenant: Tenant) -> None:
    """Those of other steps are found in the database, whatever Redis has."""
    keep(tenant, ONE)
    keep(tenant, KIND)
    assert answers_purge(tenant=tenant, use_case="answer_question.classify") == 1
    assert is_kept(tenant, KIND) == NEITHER
    assert is_kept(tenant, ONE)[1]
    assert answers_purge(task_type="answer_question") == 1


def test_single_answers_are_purged_with_the_checks_of_them(tenant: Tenant, other_tenant: Tenant) -> None:
    """Not one of another tenant's, where a tenant is given."""
    one, other = keep(tenant, ONE), keep(tenant, OTHER)
    call = serve(tenant, one, uuid7())
    check_of(tenant, call_id=call.pk, workflow_id=call.workflow_id, entry_id=one.entry_id)
    assert answers_purge(tenant=other_tenant, entry_ids=[one.entry_id]) == 0
    assert answers_purge(entry_ids=[one.entry_id]) == 1
    assert (is_kept(tenant, ONE), is_kept(tenant, OTHER)) == (NEITHER, BOTH)
    assert not CacheCheck.objects.exists()
    assert CacheEntry.objects.get().pk == other.entry_id


def test_a_purge_of_nothing_said_is_refused(tenant: Tenant) -> None:
    """It would be of everything."""
    keep(tenant, ONE)
    for purge in (answers_purge, results_purge):
        with pytest.raises(ValueError, match="say "):
            purge()
    assert is_kept(tenant, ONE) == BOTH


def test_who_purges_is_told_that_redis_is_away(tenant: Tenant, settings: Any) -> None:
    """A single answer can still be chosen then, and purged when it is back."""
    one = keep(tenant, ONE)
    there, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    with pytest.raises(redis.RedisError):
        answers_purge(entry_ids=[one.entry_id])
    with pytest.raises(redis.RedisError):
        answers_purge(workflow_id=uuid7())
    settings.REDIS_URL = there
    assert answers_purge(entry_ids=[one.entry_id]) == 1


def test_results_of_runs_that_hold_what_is_purged_are_not_given_again(tenant: Tenant, submit: Submit) -> None:
    """The run's own, and that of a run it has served; who did it is written down."""
    poisoned, served, clean = (submit("one_noop") for _ in range(3))
    Workflow.objects.update(cache_key="k")
    answer = keep(tenant, ONE, workflow_id=poisoned.pk)
    serve(tenant, answer, served.pk)
    actor = Actor(user=User.objects.create_user("ann", password="x"))
    purged = cache_purge(actor=actor, entry_ids=[answer.entry_id], reason="wrong")
    assert (purged.answers, purged.results) == (1, 2)
    assert list(Workflow.objects.filter(cache_key="k")) == [clean]
    action = OperatorAction.objects.get()
    assert (action.name, action.actor, action.affected) == ("cache.purge", "user ann", 3)
    assert action.details["asked"] == {"entries": [str(answer.entry_id)]}
    assert cache_purge(actor=actor, workflow_id=poisoned.pk).answers == 0


def test_results_are_purged_by_definition_and_tenant(
    tenant: Tenant, other_tenant: Tenant, submit: Submit
) -> None:
    """A use case's too: its answers are in the results of its definition."""
    mine, others, another = submit("one_noop"), submit("one_noop", tenant=other_tenant), submit("one_echo")
    Workflow.objects.update(cache_key="k")
    assert results_purge(tenant=tenant, task_type="one_noop") == 1
    assert set(Workflow.objects.filter(cache_key="k")) == {others, another}
    actor = Actor(user=User.objects.create_user("ann", password="x"))
    assert cache_purge(actor=actor, use_case="one_noop.step_0").results == 1
    assert list(Workflow.objects.filter(cache_key="k")) == [another]
    mine.refresh_from_db()
    assert mine.cache_key is None


def test_answers_are_deleted_long_after_they_have_expired(tenant: Tenant, settings: Any) -> None:
    """Until then they serve those who may buy none."""
    keep(tenant, ONE, seconds=-60)
    keep(tenant, OTHER, seconds=60)
    assert answers_expire()["cache_entries"] == 0
    settings.CACHE_STALE_SECONDS = 30
    assert answers_expire() == {"cache_entries": 1, "cache_checks": 0}
    assert CacheEntry.objects.get().subject == "Which other?"


def test_old_checks_are_deleted(tenant: Tenant) -> None:
    """After thirty days."""
    check_of(tenant, status="agreed", decided_at="2020-01-01T00:00:00Z")
    recent = check_of(tenant, status="agreed", decided_at="2100-01-01T00:00:00Z")
    assert answers_expire()["cache_checks"] == 1
    assert CacheCheck.objects.get() == recent
