"""A check of a kept answer tolerates delay: its call goes with a batch, at half the price."""

from __future__ import annotations

from apps.gateway.models import Call
from apps.tenants.models import Tenant
from apps.workflows.cache_checks import checks_advance
from apps.workflows.dispatching import wake_batched
from apps.workflows.models import Workflow
from tests.integration.caching.conftest import KeepingWorker
from tests.integration.caching.kept import answer_of, asked, check_of
from tests.integration.gateway.conftest import advance, assert_money_adds_up


def test_the_call_of_a_check_goes_with_a_batch(tenant: Tenant, patient_worker: KeepingWorker) -> None:
    """The attempt after the wait compares what the batch has brought, and buys nothing again."""
    check = check_of(
        tenant,
        use_case="answer_question.answer",
        request=asked("Where do lions live?").to_json(),
        served=answer_of("It takes 30 days to be refunded for this.").response.to_json(),
    )
    checks_advance()
    assert patient_worker.work() == 1
    check.refresh_from_db()
    assert check.status == "asked"
    advance()
    assert (wake_batched(), patient_worker.work()) == (1, 1)
    check.refresh_from_db()
    run = Workflow.objects.get()
    assert (check.status, run.status, run.result["verdict"]) == ("differed", "succeeded", "differed")
    assert (Call.objects.get().lane, Call.objects.get().status) == ("batch", "settled")
    assert run.cost_usd_micros > 0
    assert_money_adds_up()
