"""Approving and rejecting steps, and the graph of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.tenants.models import Tenant
from apps.workflows.models import AwaitedApproval, Signal, Step, Workflow
from tests.integration.admin.conftest import Person, change_url, list_url, logged, operation_url, person_make
from tests.integration.workflows.worker import OneThread


class TestApprovals:
    """Steps that wait for approval, answered from their pages."""

    @pytest.fixture
    def step(self, submit: Callable[..., Workflow], tenant: Tenant) -> Step:
        workflow = submit("approval")
        OneThread().work()
        return Step.objects.get(workflow=workflow, node="approve")

    @pytest.mark.parametrize("verb", ["approve", "reject"])
    def test_a_step_is_answered_after_a_page_that_asks(self, operator: Person, step: Step, verb: str) -> None:
        """With who it was and what was said; it is logged, and the step's page offers it no more."""
        url = operation_url(step, verb)
        assert "Publish it?" in operator.page(url)
        operator.confirm(url, comment="As agreed.")
        (kept,) = Signal.objects.all()
        assert kept.payload == {"approved": verb == "approve", "comment": "As agreed."}
        assert kept.sender == "user operator"
        assert url not in operator.page(change_url(step))
        assert len(logged(step)) == 1

    def test_what_waits_is_listed_with_what_is_asked(self, operator: Person, step: Step) -> None:
        """And counted in the sidebar, until it is answered."""
        page = operator.page(list_url(AwaitedApproval))
        assert "Publish it?" in page
        assert change_url(step) in page
        operator.confirm(operation_url(step, "approve"))
        assert "Publish it?" not in operator.page(list_url(AwaitedApproval))

    def test_only_those_who_may_are_asked(self, step: Step) -> None:
        """Others see the step, and that it waits."""
        reader = person_make("read-only")
        url = operation_url(step, "approve")
        assert url not in reader.page(change_url(step))
        assert reader.post(url, confirmed="1").status_code in (302, 403)
        assert not Signal.objects.exists()

    def test_the_page_of_a_run_has_its_graph(self, operator: Person, step: Step) -> None:
        """Each node with its state."""
        page = operator.page(change_url(step.workflow))
        assert 'data-key="publish"' in page
        assert "approve (ask_approval): 1 waiting" in page
