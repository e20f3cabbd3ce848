"""Who gets in, and what a key lets its owner see."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.tenants.models import ApiKey, Tenant
from apps.tenants.services import api_key_issue, api_key_revoke, tenant_reactivate, tenant_suspend
from tests.integration.api.conftest import DOCUMENTS, WORKFLOWS, Api, assert_problem

PATHS = [WORKFLOWS, DOCUMENTS, "/api/v1/definitions/"]


@pytest.mark.parametrize("path", PATHS)
def test_without_a_key_nothing_is_shown(anonymous: Api, path: str) -> None:
    """401, and how a key is sent."""
    response = anonymous.get(path)
    problem = assert_problem(response, 401, "no-api-key")
    assert "Authorization: Bearer" in problem["detail"]
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header", ["nonsense", "Bearer", "Bearer ", "Basic YTpi", "Bearer ap_unknown", "Bearer é", "Bearer a b"]
)
def test_a_header_that_is_no_key_is_refused(anonymous: Api, path: str, header: str) -> None:
    """Whatever stands there, the answer is 401."""
    assert_problem(anonymous.get(path, Authorization=header), 401, "invalid-api-key")


def test_a_scheme_is_read_whatever_its_case(api: Api) -> None:
    """RFC 9110: authentication schemes have no case."""
    key = api.headers["Authorization"].removeprefix("Bearer ")
    assert api.get(WORKFLOWS, Authorization=f"bearer {key}").status_code == 200


def test_a_revoked_key_is_refused_at_once(api: Api, tenant: Tenant) -> None:
    """The next request after the revocation is 401."""
    issued = api_key_issue(name="second", tenant=tenant)
    second = Api(issued.plaintext)
    assert second.get(WORKFLOWS).status_code == 200
    api_key_revoke(issued.api_key)
    assert_problem(second.get(WORKFLOWS), 401, "invalid-api-key")
    assert api.get(WORKFLOWS).status_code == 200


def test_an_expired_key_is_refused(tenant: Tenant) -> None:
    """It works up to its expiry and not after."""
    issued = api_key_issue(name="short", tenant=tenant)
    keys = ApiKey.objects.filter(pk=issued.api_key.pk)
    keys.update(expires_at=timezone.now() + timedelta(minutes=1))
    assert Api(issued.plaintext).get(WORKFLOWS).status_code == 200
    keys.update(expires_at=timezone.now() - timedelta(minutes=1))
    assert_problem(Api(issued.plaintext).get(WORKFLOWS), 401, "invalid-api-key")


@pytest.mark.parametrize("path", PATHS)
def test_an_operators_key_is_no_tenants_key(db: None, path: str) -> None:
    """The work of a tenant is done with its own key."""
    operator = Api(api_key_issue(name="operator").plaintext)
    assert_problem(operator.get(path), 403, "tenant-key-needed")


@pytest.mark.parametrize("path", PATHS)
def test_a_suspended_tenant_is_told_so(api: Api, tenant: Tenant, path: str) -> None:
    """403 while suspended; a reactivated tenant is served again."""
    tenant_suspend(tenant, reason="unpaid")
    problem = assert_problem(api.get(path), 403, "tenant-suspended")
    assert "unpaid" not in problem["detail"]
    tenant_reactivate(tenant)
    assert api.get(path).status_code == 200


def test_what_is_another_tenants_is_not_there(api: Api, other_api: Api) -> None:
    """404 for reading, changing and cancelling, exactly as for an id that nobody has."""
    workflow_id, document_id = other_api.submit(), other_api.upload()["id"]
    attempts = [
        ("GET", f"{WORKFLOWS}{{id}}/", workflow_id),
        ("POST", f"{WORKFLOWS}{{id}}/cancel/", workflow_id),
        ("GET", f"{DOCUMENTS}{{id}}/", document_id),
        ("PUT", f"{DOCUMENTS}{{id}}/", document_id),
        ("PATCH", f"{DOCUMENTS}{{id}}/", document_id),
        ("DELETE", f"{DOCUMENTS}{{id}}/", document_id),
    ]
    body = b'{"title": "mine", "content": "now"}'
    for method, path, id_ in attempts:
        theirs = api.send(method, path.format(id=id_), body)
        nobodys = api.send(method, path.format(id=uuid.uuid4()), body)
        assert_problem(theirs, 404, "not-found")
        assert theirs.content == nobodys.content, f"{method} {path} tells that the id exists"
    assert other_api.get(f"{WORKFLOWS}{workflow_id}/").json()["status"] == "running"
    assert other_api.get(f"{DOCUMENTS}{document_id}/").json()["title"] == "A title"


def test_lists_show_a_tenants_own_alone(api: Api, other_api: Api) -> None:
    """Neither a filter nor the other's cursor reaches further."""
    for _ in range(3):
        other_api.submit()
        other_api.upload()
    other_api.upload(external_id="known")
    for path in (WORKFLOWS, f"{WORKFLOWS}?status=running", f"{WORKFLOWS}?type=one_noop", DOCUMENTS):
        assert api.get(path).json() == {"results": [], "next": None}
    assert api.get(f"{DOCUMENTS}?external_id=known").json()["results"] == []
    theirs = other_api.get(f"{DOCUMENTS}?limit=2").json()["next"]
    assert api.get(theirs.removeprefix("http://testserver")).json() == {"results": [], "next": None}
