"""Cancelling runs, and the limits of queues."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from apps.workflows.models import Step, Workflow
from tests.integration.admin.conftest import Person, change_url, list_url, logged, operation_url
from tests.integration.conftest import Hand


def test_a_run_is_cancelled_by_the_coordinator(operator: Person, submit: Callable[..., Workflow]) -> None:
    """Its steps too; it is logged; a second time there is nothing to cancel."""
    workflow = submit("ten_noops")
    response = operator.confirm(operation_url(workflow, "cancel"))
    assert response.status_code == 302
    workflow.refresh_from_db()
    assert workflow.status == "cancelled"
    assert set(Step.objects.filter(workflow=workflow).values_list("status", flat=True)) == {"cancelled"}
    assert logged(workflow) == ["Cancelled: status running → cancelled"]
    assert operation_url(workflow, "cancel") not in operator.page(change_url(workflow))
    again = operator.client.post(operation_url(workflow, "cancel"), {"confirmed": "1"}, follow=True)
    assert b"had ended already" in again.content
    assert len(logged(workflow)) == 1


def test_a_run_is_paused_and_resumed(operator: Person, submit: Callable[..., Workflow]) -> None:
    """Each with its own button, where there is something to do; both are logged."""
    workflow = submit("ten_noops")
    html = operator.page(change_url(workflow))
    assert operation_url(workflow, "pause") in html
    assert operation_url(workflow, "resume") not in html
    assert operator.confirm(operation_url(workflow, "pause")).status_code == 302
    assert Step.objects.get(workflow=workflow, node="step_0").waiting_for == "resume"
    html = operator.page(change_url(workflow))
    assert operation_url(workflow, "pause") not in html
    assert operation_url(workflow, "resume") in html
    operator.confirm(operation_url(workflow, "resume"))
    workflow.refresh_from_db()
    assert workflow.status == "running"
    assert logged(workflow) == ["Paused: status running → paused", "Resumed: status paused → running"]


def test_only_the_chosen_runs_are_cancelled(operator: Person, submit: Callable[..., Workflow]) -> None:
    """The list's action asks first; 'all that match' is not an answer to which."""
    chosen, other = submit("ten_noops"), submit("ten_noops")
    fields = {
        "action": "cancel_selected",
        "index": "0",
        "select_across": "1",
        ACTION_CHECKBOX_NAME: [str(chosen.pk)],
    }
    assert b"Cancel this workflow?" in operator.client.post(list_url(Workflow), fields).content
    operator.client.post(list_url(Workflow), {**fields, "confirmed": "1"})
    assert Workflow.objects.get(pk=chosen.pk).status == "cancelled"
    assert Workflow.objects.get(pk=other.pk).status == "running"


def test_an_operation_on_a_run_that_is_not_there_is_404(operator: Person) -> None:
    """Neither an error nor a message that it was done."""
    for key in ("0" * 32, "nonsense"):
        url = reverse("admin:workflows_workflow_cancel", args=[key])
        assert operator.get(url).status_code == 404
        assert operator.post(url, confirmed="1").status_code == 404


def test_a_run_of_many_steps_is_still_one_page(
    administrator: Person, submit: Callable[..., Workflow], hand: Hand
) -> None:
    """Three hundred steps are shown, and how many there are."""
    workflow = submit("fan_out", {"count": 500})
    hand.finish(hand.claim_next(), {"items": list(range(500))})
    html = administrator.page(change_url(workflow))
    assert "The first 300 of 502 steps" in html
    assert "double[298]" in html
    assert "double[299]" not in html


def test_an_operation_on_nothing_says_so(operator: Person, submit: Callable[..., Workflow]) -> None:
    """Without a choice nothing is asked and nothing is done, however the form was sent."""
    workflow = submit("ten_noops")
    fields = {"action": "cancel_selected", "index": "0", "select_across": "1", "confirmed": "1"}
    response = operator.client.post(list_url(Workflow), fields, follow=True)
    assert b"Items must be selected" in response.content
    assert Workflow.objects.get(pk=workflow.pk).status == "running"
