"""A check of a kept answer tolerates delay: its call goes with a batch, at half the price."""

from __future__ import annotations

from agentplatform.identifiers import uuid7
from apps.gateway.models import CacheCheck, Call
from apps.tenants.models import Tenant
from apps.workflows.cache_checks import checks_advance
from apps.workflows.dispatching import wake_batched
from apps.workflows.models import Workflow
from tests.integration.gateway.conftest import PatientWorker, advance, assert_money_adds_up
from tests.integration.gateway.kept import asked, said


def test_the_call_of_a_check_goes_with_a_batch(tenant: Tenant, worker: PatientWorker) -> None:
    """The attempt after the wait compares what the batch has brought, and buys nothing again."""
    ids = {name: uuid7() for name in ("call_id", "workflow_id", "entry_id")}
    check = CacheCheck.objects.create(
        tenant=tenant,
        use_case="answer_question.answer",
        request=asked("Where do lions live?").to_json(),
        served=said("It takes 30 days to be refunded for this.").to_json(),
        similarity=0.9,
        probability=0.96,
        **ids,
    )
    checks_advance()
    assert worker.work() == 1
    check.refresh_from_db()
    assert check.status == "asked"
    advance()
    assert (wake_batched(), worker.work()) == (1, 1)
    check.refresh_from_db()
    run = Workflow.objects.get()
    assert (check.status, run.status, run.result["verdict"]) == ("differed", "succeeded", "differed")
    assert (Call.objects.get().lane, Call.objects.get().status) == ("batch", "settled")
    assert run.cost_usd_micros > 0
    assert_money_adds_up()
