"""Profiles as operators see them, over REST and in the admin."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from apps.insights.profiling import profiles_renew
from apps.tenants.services import api_key_issue
from apps.workflows.models import Workflow
from tests.integration.admin.conftest import Person, person_make
from tests.integration.admin.test_costs import charts_of
from tests.integration.api.conftest import Api
from tests.integration.conftest import Hand
from tests.integration.insights.test_profiles import tenant as shared_tenant

PROFILES = "/api/v1/operations/profiles/"
PAGE = reverse("admin:insights_hourlyrunprofile_profiles")

tenant = shared_tenant


@pytest.fixture
def measured(submit: Callable[..., Workflow], hand: Hand) -> None:
    """Two runs of a type and one of another have ended, and the hour was measured."""
    for type_ in ("one_noop", "one_noop", "one_echo"):
        submit(type_, {"output": "x"})
        hand.finish(hand.claim_next(), {"done": True})
    profiles_renew()


@pytest.fixture
def operator(transactional_db: None) -> Api:
    """The API with an operator's key."""
    return Api(api_key_issue(name="operator").plaintext)


@pytest.mark.usefixtures("measured")
def test_an_operator_reads_profiles(operator: Api) -> None:
    """By type, by tier and by node, of one type if it is named."""
    report = operator.get(PROFILES).json()
    assert {one["task_type"]: one["finished"] for one in report["types"]} == {"one_noop": 2, "one_echo": 1}
    assert report["types"][1]["queues"] == {"standard": 1.0}
    assert report["types"][1]["tenant_tiers"] == {"standard": 1.0}
    assert 0 < report["measured_seconds"] <= 3_600
    one = operator.get(f"{PROFILES}?type=one_noop").json()
    (task,) = one["tasks"]
    assert (task["tier"], task["steps"], task["slot_seconds"]["count"], task["cache_hit_share"]) == (
        "",
        2,
        2,
        None,
    )
    (node,) = one["nodes"]
    assert (node["node"], node["steps_a_run"], node["calls_a_step"]) == ("step_0", 1.0, 0.0)
    assert operator.get(f"{PROFILES}?tier=fast").json()["tasks"] == []


@pytest.mark.parametrize(
    "query",
    [
        "tier=huge",
        "type=x&from=2026-01-01&to=2026-06-01",
        "from=2026-01-01&to=2026-01-08",
        "from=yesterday",
        "to=2026-01-01T00:30:00Z",
        "type=%00",
    ],
)
def test_what_is_asked_for_has_to_make_sense(operator: Api, query: str) -> None:
    """Or it is refused, with the parameter named."""
    response = operator.get(f"{PROFILES}?{query}")
    assert response.status_code == 400
    assert response.json()["errors"][0]["pointer"] in {
        f"?{part.partition(chr(61))[0]}" for part in query.split("&")
    }


def test_profiles_are_the_operators_alone(tenant: Any) -> None:
    """They are of all tenants' runs."""
    key = api_key_issue(name="a tenant's", tenant=tenant).plaintext
    assert Api(key).get(PROFILES).status_code == 403
    assert Api(None).get(PROFILES).status_code == 401


@pytest.mark.usefixtures("measured")
def test_the_page_shows_tables_and_plots(transactional_db: None) -> None:
    """Of all types or of one, each table with its download."""
    person = person_make("operator")
    page = person.page(PAGE)
    assert "one_noop" in page
    assert "one_echo" in page
    charts = {chart["datasets"][0]["label"]: chart for chart in charts_of(page)}
    assert charts["runs"]["datasets"][0]["data"] == [3]
    one = person.page(PAGE, task_type="one_noop", days="7")
    assert charts_of(one)[0]["datasets"][0]["data"] == [2]
    response = person.get(PAGE, csv="types")
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert {row["task type"]: row["finished"] for row in rows} == {"one_echo": "1", "one_noop": "2"}
    assert person.get(PAGE, csv="nothing").status_code == 404


def test_the_page_is_there_without_any_profile(transactional_db: None) -> None:
    """For who may see it, and for nobody else."""
    assert "None." in person_make("read-only").page(PAGE)
    nobody = Person(person_make("operator").user)
    nobody.user.groups.clear()
    assert nobody.get(PAGE).status_code == 403
