"""The page of a run and the list of runs: what is told of them, and how they are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.tenants.services import tenant_create
from apps.workflows.models import Workflow
from tests.integration.admin.conftest import HOSTILE, HOSTILE_ESCAPED, Person, change_url, list_url


def test_a_run_tells_all_that_happened(administrator: Person, failed: Workflow) -> None:
    """Input, error, cost, steps, attempts with traceback, calls and events, in one page."""
    html = administrator.page(change_url(failed))
    assert HOSTILE not in html
    for text in (
        HOSTILE_ESCAPED.replace("&#x27;", "&#x27;"),
        "made_to_fail",
        f"Traceback of {HOSTILE_ESCAPED}",
        "$1.25",
        "claude-test",
        "1,200 / 34",
        "workflow.status",
        "step_0 running (attempt 1)",
        "1 dead",
    ):
        assert text in html, text


def test_long_json_is_folded_and_whole(administrator: Person, failed: Workflow) -> None:
    """The beginning is in sight; all of it is behind it."""
    html = administrator.page(change_url(failed))
    assert html.count("long long") >= 1
    assert "long " * 499 in html
    assert 'class="console-fold"' in html


def test_a_run_is_found_by_its_id_its_beginning_and_its_steps(
    administrator: Person, failed: Workflow
) -> None:
    """And by the task id that Flower shows; by nothing else, and never an error."""
    step = failed.steps.get()
    for term in (str(failed.pk), str(failed.pk)[:18], str(step.pk), f"{step.pk}:1", str(failed.pk).upper()):
        assert str(failed.pk) in administrator.page(list_url(Workflow), q=term), term
    for term in ("0" * 32, "nothing", "<b>", "%", "019", "ffffffff"):
        assert f"workflow/{failed.pk}/" not in administrator.page(list_url(Workflow), q=term), term


@pytest.mark.parametrize(
    ("query", "is_shown"),
    [
        ({"status": "failed"}, True),
        ({"status": "succeeded"}, False),
        ({"status": "unfinished"}, False),
        ({"status": "running"}, False),
        ({"status": "nonsense"}, True),
        ({"type": "one_ask"}, True),
        ({"type": "ten_noops"}, False),
        ({"queue__name__exact": "standard"}, True),
        ({"queue__name__exact": "batch"}, False),
        ({"created_at_from": "2020-01-01", "created_at_to": "2199-12-31"}, True),
        ({"created_at_from": "2199-01-01"}, False),
        ({"created_at_to": "2020-01-01"}, False),
        ({"created_at_from": "no date"}, True),
    ],
)
def test_runs_are_filtered(
    administrator: Person, failed: Workflow, query: dict[str, str], is_shown: bool
) -> None:
    """By status, type, queue and day; what is no value of a filter is passed over."""
    html = administrator.page(list_url(Workflow), **query)
    assert (f"workflow/{failed.pk}/" in html) is is_shown


def test_todays_runs_are_those_of_today(administrator: Person, failed: Workflow) -> None:
    """Both days are included."""
    day = failed.created_at.date().isoformat()
    html = administrator.page(list_url(Workflow), created_at_from=day, created_at_to=day)
    assert f"workflow/{failed.pk}/" in html


def test_runs_of_one_tenant_are_no_other_tenants(
    administrator: Person, failed: Workflow, submit: Callable[..., Workflow]
) -> None:
    """The filter that a tenant's page links to."""
    other = tenant_create(name="other", tier="free")
    theirs = submit("one_noop", tenant=other)
    html = administrator.page(list_url(Workflow), tenant__id__exact=str(other.pk))
    assert f"workflow/{theirs.pk}/" in html
    assert f"workflow/{failed.pk}/" not in html
