"""A database that is slow: a workflow is shown as it was last seen, and that is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from tests.integration.api.conftest import WORKFLOWS, Api, assert_problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A tenant that other connections can see."""
    return tenant_create(name="acme", tier="standard")


@contextmanager
def locked(*tables: str) -> Iterator[None]:
    """Whoever reads these tables waits for as long as the block runs."""
    settings = connection.settings_dict
    with psycopg.connect(
        host=settings["HOST"],
        port=settings["PORT"],
        user=settings["USER"],
        password=settings["PASSWORD"],
        dbname=settings["NAME"],
    ) as holder:
        holder.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        yield
        holder.rollback()


@pytest.mark.parametrize("tables", [("workflows_workflow",), ("tenants_apikey",)])
def test_a_workflow_is_shown_as_it_was_last_seen(api: Api, tables: tuple[str, ...]) -> None:
    """Within a second or two, with its age; then, when the database answers, as it is."""
    workflow_id = api.submit("ten_noops", metadata={"order": 7})
    seen = api.get(f"{WORKFLOWS}{workflow_id}/").json()
    assert (seen["stale"], seen["as_of"], seen["degradations"]) == (False, None, [])
    with locked(*tables):
        began = time.monotonic()
        response = api.get(f"{WORKFLOWS}{workflow_id}/")
        assert time.monotonic() - began < 2.5
    assert response.status_code == 200
    stale = response.json()
    assert stale["stale"] is True
    assert stale["as_of"]
    (note,) = stale["degradations"]
    assert note["code"] == "stale_status"
    assert {**stale, "stale": False, "as_of": None, "degradations": []} == seen
    api.post(f"{WORKFLOWS}{workflow_id}/cancel/", {})
    fresh = api.get(f"{WORKFLOWS}{workflow_id}/").json()
    assert (fresh["status"], fresh["stale"]) == ("cancelled", False)


def test_nobody_is_shown_what_another_was(api: Api, tenant: Tenant) -> None:
    """Neither another tenant, nor who has no key, nor another key of the tenant that has not asked before."""
    workflow_id = api.submit("ten_noops")
    api.get(f"{WORKFLOWS}{workflow_id}/")
    other = Api(api_key_issue(name="x", tenant=tenant_create(name="globex", tier="standard")).plaintext)
    second = Api(api_key_issue(name="second", tenant=tenant).plaintext)
    with locked("workflows_workflow", "tenants_apikey"):
        for asker in (other, second, Api("ap_nonsense")):
            assert_problem(asker.get(f"{WORKFLOWS}{workflow_id}/"), 503, "database-unavailable")
        assert_problem(Api(None).get(f"{WORKFLOWS}{workflow_id}/"), 401)


def test_what_was_never_seen_is_503(api: Api) -> None:
    """There is nothing to show."""
    workflow_id = api.submit("ten_noops")
    with locked("workflows_workflow"):
        assert_problem(api.get(f"{WORKFLOWS}{workflow_id}/"), 503, "database-unavailable")
