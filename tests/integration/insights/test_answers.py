"""Where answers came from, added up by the hour and read from the ledger."""

from __future__ import annotations

import pytest

from agentplatform.identifiers import uuid7
from apps.budgets.answer_selectors import LayerAnswers, answers_by, answers_in
from apps.budgets.models import HourlyAnswers, HourlySpend
from apps.budgets.rollup import spend_rollup
from apps.tenants.models import Tenant
from tests.integration.insights.conftest import DAY, HIT, HOUR, spent, this_hour


def of_all_kinds(tenant: Tenant, hour: object) -> None:
    """Two answers that were bought, three that were not, and what is no answer."""
    at = {"at": hour}
    spent(tenant, 1.0, **at, avoided_usd_micros=999)
    spent(tenant, 1.0, **at, kind="batch")
    spent(tenant, 0.0, **at, **HIT, cache_layer="exact")
    spent(tenant, 0.0, **at, **HIT, cache_layer="semantic")
    run = uuid7()
    for agent in ("plan", "write"):
        spent(tenant, 0.0, **at, **HIT, cache_layer="workflow", call_id=run, agent=agent)
    spent(tenant, 1.0, **at, outcome="failed")
    spent(tenant, 1.0, **at, outcome="unknown")
    spent(tenant, -1.0, **at, kind="correction")
    spent(tenant, 0.0, **at, kind="embedding")


@pytest.mark.parametrize("adds_up", [(), (0,), (1,), (0, 1), (0, 0, 1)])
def test_answers_are_those_of_the_ledger_whenever_it_was_added_up(
    tenant: Tenant, adds_up: tuple[int, ...]
) -> None:
    """A whole result counts once, whatever it was made of; failures, corrections and embeddings are no answers."""
    for number, hour in enumerate((this_hour() - 3 * DAY, this_hour())):
        of_all_kinds(tenant, hour)
        for _ in range(adds_up.count(number)):
            spend_rollup()
    found = answers_in(this_hour() - 4 * DAY, this_hour() + HOUR)
    assert (found.bought, found.hits, found.answers, found.hit_share) == (4, 6, 10, 0.6)
    assert found.layers == {
        "exact": LayerAnswers(2, 600, 80),
        "semantic": LayerAnswers(2, 600, 80),
        "workflow": LayerAnswers(2, 1_200, 160),
    }
    assert (found.served_tokens, found.avoided_usd_micros) == (2_400, 320)


def test_answers_are_grouped_and_filtered(tenant: Tenant, other: Tenant) -> None:
    """By tenant and type of task, those with most hits first; from is included, to is not."""
    spent(tenant, 1.0, this_hour() - HOUR, task_type="a")
    for _ in range(2):
        spent(other, 0.0, this_hour() - HOUR, task_type="b", cache_layer="exact", **HIT)
    spent(tenant, 0.0, this_hour() - 2 * HOUR, task_type="a", cache_layer="exact", **HIT)
    spend_rollup()
    found = answers_by(["tenant", "task_type"], this_hour() - HOUR, this_hour())
    assert [(one.key, one.bought, one.hits) for one in found] == [
        ((other.pk, "b"), 0, 2),
        ((tenant.pk, "a"), 1, 0),
    ]
    (own,) = answers_by(["task_type"], this_hour() - 2 * HOUR, this_hour(), tenant=tenant.pk)
    assert (own.key, own.bought, own.hits, own.share_of(own.hits)) == (("a",), 1, 1, 0.5)
    none = answers_in(this_hour() - HOUR, this_hour(), tenant=uuid7())
    assert (none.answers, none.hit_share) == (0, None)


def test_answers_are_added_up_from_the_first_where_only_spend_was(tenant: Tenant) -> None:
    """A version that adds up spend alone may have run before or beside this one."""
    of_all_kinds(tenant, this_hour() - 9 * DAY)
    spend_rollup()
    HourlyAnswers.objects.all().delete()
    of_all_kinds(tenant, this_hour())
    spend_rollup()
    assert HourlySpend.objects.filter(hour=this_hour()).exists()
    assert HourlyAnswers.objects.count() == 8
    assert answers_in(this_hour() - 10 * DAY, this_hour() + HOUR).answers == 10


def test_answers_that_came_late_are_added_up(tenant: Tenant) -> None:
    """Adding up again changes what has changed, and nothing else."""
    of_all_kinds(tenant, this_hour() - HOUR)
    spend_rollup()
    spent(tenant, 0.0, this_hour() - HOUR, cache_layer="exact", **HIT)
    spend_rollup()
    row = HourlyAnswers.objects.get(cache_layer="exact")
    assert (row.answers, row.served_tokens, row.avoided_usd_micros) == (2, 600, 80)
    assert HourlyAnswers.objects.get(cache_layer="").answers == 2
