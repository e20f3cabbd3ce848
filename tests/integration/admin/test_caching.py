"""Caching in the admin: kept answers and purging them, and how far answers by meaning are trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from apps.gateway.models import CacheCheck, CacheEntry, CacheScope
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from apps.workflows.letters import OperatorAction
from apps.workflows.models import Workflow
from tests.integration.admin.conftest import Person, change_url, list_url, logged, operation_url
from tests.integration.caching.kept import asked, check_of, is_kept, keep, serve
from tests.integration.stack.launching import free_ports

PURGE_MANY = reverse("admin:gateway_cacheentry_purge_many")
QUESTION = "When do employees travel first class?"
OTHER_QUESTION = "Who signs for a hotel?"
SETTINGS = {"is_enabled": "on", "pinned_threshold": "", "error_bound": "0.01", "checked_share": "0.05"}


@pytest.fixture
def scope(tenant: Tenant) -> CacheScope:
    """One that switched itself off."""
    return CacheScope.objects.create(
        tenant=tenant,
        use_case="answer_question.answer",
        threshold=0.97,
        checked=100,
        wrong=20,
        switched_off_at="2026-01-01T00:00:00Z",
        switched_off_because="too many were wrong",
    )


# --- Kept answers ------------------------------------------------------------------------------------------


def test_a_question_is_on_its_own_page_alone(reader: Person, tenant: Tenant) -> None:
    """The list tells whose it is and what it is worth; who may not see entries sees neither page."""
    entry = CacheEntry.objects.get(pk=keep(tenant, asked(QUESTION), "On long journeys.").entry_id)
    html = reader.page(list_url(CacheEntry))
    for text in ("acme", "answer_question.answer", "$0.00007", "words or meaning"):
        assert text in html, text
    assert "first class" not in html
    html = reader.page(change_url(entry))
    assert "when do employees travel first class?" in html.lower()
    assert "On long journeys." in html
    reader.user.groups.clear()
    assert reader.get(list_url(CacheEntry)).status_code == 403
    assert reader.get(change_url(entry)).status_code == 403


def test_entries_are_found_by_the_run_that_they_were_bought_for(reader: Person, tenant: Tenant) -> None:
    """And narrowed by tenant and use case."""
    other = tenant_create(name="other", tier="standard")
    mine, others = keep(tenant, asked(QUESTION)), keep(other, asked(QUESTION, "summarize_document.summarize"))

    def shown(**query: str) -> set[bool]:
        html = reader.page(list_url(CacheEntry), **query)
        return {answer is mine for answer in (mine, others) if f"/{answer.entry_id}/" in html}

    assert shown() == {True, False}
    assert shown(q=str(mine.source_workflow_id)) == {True}
    assert shown(q=str(others.entry_id)) == {False}
    assert shown(use_case="answer_question.answer") == {True}
    assert shown(tenant__id__exact=str(other.pk)) == {False}
    assert shown(serves="stale") == set()


def test_one_answer_is_purged_from_its_page_and_some_from_the_list(operator: Person, tenant: Tenant) -> None:
    """From Redis and the database, with a line in the log and the record of the operation."""
    questions = [QUESTION, OTHER_QUESTION, "What is a per diem?"]
    entries = [CacheEntry.objects.get(pk=keep(tenant, asked(text)).entry_id) for text in questions]
    page = operation_url(entries[0], "purge")
    assert operator.post(page).status_code == 200
    assert is_kept(tenant, asked(QUESTION)) == (True, True)
    assert operator.confirm(page).status_code == 302
    assert is_kept(tenant, asked(QUESTION)) == (False, False)
    (message,) = logged(entries[0])
    assert message.startswith("Purged: 1 answers")
    chosen = [str(entry.pk) for entry in entries[1:]]
    fields = {"action": "purge_selected", "confirmed": "1", ACTION_CHECKBOX_NAME: chosen}
    assert operator.post(list_url(CacheEntry), **fields).status_code == 302
    assert not CacheEntry.objects.exists()
    actions = list(OperatorAction.objects.order_by("created_at"))
    assert [(action.name, action.affected) for action in actions] == [("cache.purge", 1), ("cache.purge", 2)]
    assert {action.user for action in actions} == {operator.user}


def test_a_use_case_or_a_whole_tenant_is_purged_with_a_reason(operator: Person, tenant: Tenant) -> None:
    """Nobody else's, and nothing for a name that there is not."""
    other = tenant_create(name="other", tier="standard")
    summary = asked(QUESTION, "summarize_document.summarize")
    entry = CacheEntry.objects.get(pk=keep(tenant, asked(QUESTION)).entry_id)
    keep(tenant, summary)
    keep(other, asked(QUESTION))
    assert 'value="acme"' in operator.page(operation_url(entry, "purge_use_case"))
    for wrong in ({"tenant": "nobody", "reason": "x"}, {"tenant": "acme", "reason": ""}):
        assert operator.confirm(PURGE_MANY, **wrong).status_code == 200
    assert CacheEntry.objects.count() == 3
    told = {"tenant": "acme", "use_case": "answer_question.answer", "reason": "a wrong policy"}
    assert operator.confirm(operation_url(entry, "purge_use_case"), **told).status_code == 302
    assert is_kept(tenant, asked(QUESTION)) == (False, False)
    assert is_kept(tenant, summary)[1]
    assert operator.confirm(PURGE_MANY, tenant="acme", reason="all of it").status_code == 302
    assert list(CacheEntry.objects.values_list("tenant", flat=True)) == [other.pk]
    of_use_case, of_all = logged(tenant)
    assert "Of answer_question.answer, reason 'a wrong policy'" in of_use_case
    assert "Of all use cases, reason 'all of it'" in of_all


def test_what_a_run_left_is_purged_from_its_page(
    operator: Person, tenant: Tenant, submit: Callable[..., Workflow]
) -> None:
    """The page of a run says what served it and what it left; the runs that were served by it are purged with it."""
    source, served = submit("one_noop"), submit("one_noop")
    answer = keep(tenant, asked(QUESTION), workflow_id=source.pk)
    serve(tenant, answer, served.pk)
    Workflow.objects.filter(pk__in=[source.pk, served.pk]).update(cache_key="k" * 64)
    assert "It has left in the cache: 1 answers." in operator.page(change_url(source))
    html = operator.page(change_url(served))
    for text in ("semantic", "0.970", "0.950", f"/admin/workflows/workflow/{source.pk}/change/"):
        assert text in html, text
    assert "It has left nothing in the cache." in html
    assert operator.confirm(operation_url(source, "purge_cache")).status_code == 302
    assert not CacheEntry.objects.exists()
    assert not Workflow.objects.filter(cache_key__isnull=False).exists()
    assert logged(source) == ["Purged: 1 answers, and the results of 2 runs."]


def test_a_run_that_was_answered_whole_says_from_which(
    reader: Person, submit: Callable[..., Workflow]
) -> None:
    """With the age that the result had."""
    source, served = submit("one_noop"), submit("one_noop")
    told = {"layer": "exact", "similarity": 1.0, "age_seconds": 75.0, "source_workflow_id": str(source.pk)}
    Workflow.objects.filter(pk=served.pk).update(cache=told)
    html = reader.page(change_url(served))
    for text in ("the whole result", "1 min 15 s", f"{str(source.pk)[:18]}…"):
        assert text in html, text


def test_a_call_says_that_its_answer_was_kept(reader: Person, tenant: Tenant) -> None:
    """In the journal and on its page."""
    answer = keep(tenant, asked(QUESTION))
    call = serve(tenant, answer, answer.source_workflow_id, layer="in_flight")
    assert "(from the cache: in_flight)" in reader.page(list_url(type(call)))
    html = reader.page(change_url(call))
    assert "similarity 0.970, probability 0.950, 1.0 s old" in html


def test_who_may_not_purge_is_refused(
    reader: Person, tenant: Tenant, submit: Callable[..., Workflow], scope: CacheScope
) -> None:
    """Each operation, forged; and there is no button for it."""
    entry = CacheEntry.objects.get(pk=keep(tenant, asked(QUESTION)).entry_id)
    workflow = submit("one_noop")
    for obj, operation in (
        (entry, "purge"),
        (entry, "purge_use_case"),
        (workflow, "purge_cache"),
        (scope, "switch_on"),
    ):
        url = operation_url(obj, operation)
        assert url not in reader.page(change_url(obj))
        assert reader.post(url, confirmed="1", tenant="acme", reason="forged").status_code == 403, operation
    assert PURGE_MANY not in reader.page(list_url(CacheEntry))
    assert reader.post(PURGE_MANY, confirmed="1", tenant="acme", reason="forged").status_code == 403
    fields = {"action": "purge_selected", "confirmed": "1", ACTION_CHECKBOX_NAME: str(entry.pk)}
    assert reader.post(list_url(CacheEntry), **fields).status_code == 403
    assert reader.post(change_url(scope), **SETTINGS).status_code == 403
    assert is_kept(tenant, asked(QUESTION)) == (True, True)
    assert not OperatorAction.objects.exists()


def test_a_purge_that_redis_did_not_hear_of_is_told(operator: Person, tenant: Tenant, settings: Any) -> None:
    """The person has to purge again, and the log says why."""
    entry = CacheEntry.objects.get(pk=keep(tenant, asked(QUESTION)).entry_id)
    (port,) = free_ports(1)
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    response = operator.client.post(operation_url(entry, "purge"), {"confirmed": "1"}, follow=True)
    assert "Purge again" in response.content.decode()
    assert logged(entry) == ["Purged from the cache, but the cache server did not answer"]


# --- How far answers by meaning are trusted ----------------------------------------------------------------


def test_a_scope_shows_its_error_with_the_interval(reader: Person, scope: CacheScope) -> None:
    """20 wrong of 100 are surely more than one in a hundred."""
    for html in (reader.page(list_url(CacheScope)), reader.page(change_url(scope))):
        for text in ("20.00% (12.67% to 29.18%)", "above bound", "switched itself off", "0.970"):
            assert text in html, text
    assert "too many were wrong" in reader.page(change_url(scope))
    assert f"/{scope.pk}/" not in reader.page(list_url(CacheScope), state="on")
    assert f"/{scope.pk}/" in reader.page(list_url(CacheScope), state="switched itself off")


def test_an_operator_sets_how_far_a_scope_is_trusted(operator: Person, scope: CacheScope) -> None:
    """With before and after in the log; what was observed stays."""
    fields = {**SETTINGS, "pinned_threshold": "0.99", "checked_share": "0.2", "checked": "0", "wrong": "0"}
    assert operator.post(change_url(scope), **fields).status_code == 302
    before = scope.updated_at
    scope.refresh_from_db()
    assert (scope.pinned_threshold, scope.checked_share, scope.error_bound) == (0.99, 0.2, 0.01)
    assert (scope.checked, scope.wrong, scope.threshold) == (100, 20, 0.97)
    assert scope.updated_at > before
    (message,) = logged(scope)
    assert "pinned_threshold None → 0.99, checked_share 0.05 → 0.2" in message
    assert "pinned" in operator.page(list_url(CacheScope))


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"pinned_threshold": "0.1"}, "below which nothing is served"),
        ({"pinned_threshold": "1.01"}, "below which nothing is served"),
        ({"pinned_threshold": "nan"}, "Enter a number"),
        ({"error_bound": "0"}, "Choose a share above 0"),
        ({"error_bound": "0.51"}, "Choose a share above 0"),
        ({"error_bound": ""}, "This field is required"),
        ({"checked_share": "-0.1"}, "Choose a share from 0 to 1"),
        ({"checked_share": "5"}, "Choose a share from 0 to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_words(
    operator: Person, scope: CacheScope, changed: dict[str, str], complaint: str
) -> None:
    """And nothing has changed."""
    response = operator.post(change_url(scope), **{**SETTINGS, **changed})
    assert response.status_code == 200
    assert complaint in response.content.decode()
    before = scope.updated_at
    scope.refresh_from_db()
    assert scope.updated_at == before


def test_a_use_case_is_set_before_it_was_ever_checked(operator: Person, tenant: Tenant) -> None:
    """Once; a second row for it is refused."""
    add = reverse("admin:gateway_cachescope_add")
    fields = {**SETTINGS, "tenant": str(tenant.pk), "use_case": "answer_question.answer", "is_enabled": ""}
    del fields["is_enabled"]
    assert operator.post(add, **fields).status_code == 302
    assert not CacheScope.objects.get().is_enabled
    assert operator.post(add, **fields).status_code == 200
    assert CacheScope.objects.count() == 1


def test_a_scope_is_switched_on_again_and_counts_anew(operator: Person, scope: CacheScope) -> None:
    """After it was asked about; the log keeps why it was off. Then there is nothing left to switch on."""
    page = operation_url(scope, "switch_on")
    assert page in operator.page(change_url(scope))
    assert operator.confirm(page).status_code == 302
    scope.refresh_from_db()
    assert (scope.switched_off_at, scope.switched_off_because, scope.checked, scope.wrong) == (None, "", 0, 0)
    assert logged(scope) == ["Switched on again, after: too many were wrong"]
    assert page not in operator.page(change_url(scope))
    fields = {"action": "switch_on_selected", "confirmed": "1", ACTION_CHECKBOX_NAME: str(scope.pk)}
    assert operator.post(list_url(CacheScope), **fields).status_code == 302
    assert len(logged(scope)) == 1


def test_checks_are_listed_with_their_verdicts(reader: Person, tenant: Tenant, scope: CacheScope) -> None:
    """And found by the run that was served."""
    answer = keep(tenant, asked(QUESTION))
    checks = [
        check_of(
            tenant,
            use_case=scope.use_case,
            workflow_id=answer.source_workflow_id,
            entry_id=answer.entry_id,
            source=source,
            status=status,
        )
        for source, status in (("sample", "agreed"), ("feedback", "differed"))
    ]
    html = reader.page(list_url(CacheCheck), q=str(answer.source_workflow_id))
    for check in checks:
        assert f"/{check.pk}/" in html
        assert check.status in html
    html = reader.page(list_url(CacheCheck), status__exact="differed")
    assert [f"/{check.pk}/" in html for check in checks] == [False, True]
