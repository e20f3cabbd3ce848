"""Webhooks over the API: endpoints, secrets, deliveries; and the tenant's notices."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from apps.notifications.deliveries import deliveries_work
from apps.notifications.models import Delivery, Endpoint
from apps.notifications.services import notify
from apps.tenants.models import Tenant
from tests.integration.api.conftest import Api, assert_problem
from tests.receiver import Receiver, receiving

WEBHOOKS = "/api/v1/webhooks/"
NOTICES = "/api/v1/notices/"


@pytest.fixture
def receiver(settings: Any, closed: None) -> Iterator[Receiver]:
    """A receiver on loopback, which is allowed."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with receiving() as one:
        yield one


def create(api: Api, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    """A webhook at the receiver, with its secret."""
    response = api.post(WEBHOOKS, {"url": receiver.url, **fields})
    assert response.status_code == 201, response.content
    return dict(response.json())


def test_a_webhook_is_created_with_a_secret_that_is_shown_once(api: Api, receiver: Receiver) -> None:
    """Read again, it has none."""
    made = create(api, receiver, description="Ours", events=["workflow.finished", "budget.threshold"])
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["budget.threshold", "workflow.finished"]
    assert (made["is_enabled"], made["disabled_reason"], made["failing_since"]) == (True, "", None)
    read = api.get(f"{WEBHOOKS}{made['id']}/").json()
    assert read == {name: value for name, value in made.items() if name != "secret"}
    assert api.get(WEBHOOKS).json() == {"results": [read], "next": None}


def test_a_test_event_arrives_and_its_delivery_is_told(api: Api, receiver: Receiver) -> None:
    """Signed with the secret; refused once, it is tried again and has both tries in its log."""
    made = create(api, receiver, events=["budget.threshold"])
    receiver.answer(500, b"not now")
    sent = api.post(f"{WEBHOOKS}{made['id']}/test/", {})
    assert sent.status_code == 202
    deliveries_work()
    assert receiver.requests[0].verified(made["secret"])["type"] == "ping"
    (delivery,) = api.get(f"{WEBHOOKS}{made['id']}/deliveries/").json()["results"]
    assert delivery["id"] == sent.json()["id"]
    assert (delivery["status"], delivery["webhook_id"], delivery["attempts"]) == ("pending", made["id"], 1)
    assert delivery["next_attempt_at"] is not None
    (attempt,) = delivery["log"]
    assert (attempt["status_code"], attempt["error_code"], attempt["response_excerpt"]) == (
        500,
        "http_500",
        "not now",
    )
    assert api.get(f"{WEBHOOKS}{made['id']}/").json()["failing_since"] is not None


def test_an_ended_delivery_is_made_again(api: Api, receiver: Receiver) -> None:
    """202; one that is under way is 409."""
    made = create(api, receiver)
    delivery_id = api.post(f"{WEBHOOKS}{made['id']}/test/", {}).json()["id"]
    again = f"{WEBHOOKS}deliveries/{delivery_id}/redeliver/"
    assert_problem(api.post(again, {}), 409, "not-redeliverable")
    deliveries_work()
    response = api.post(again, {})
    assert (response.status_code, response.json()["status"]) == (202, "pending")
    deliveries_work()
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len(receiver.requests) == 2
    pages = f"{WEBHOOKS}{made['id']}/deliveries/"
    assert len(api.get(f"{pages}?status=delivered").json()["results"]) == 1
    assert api.get(f"{pages}?status=failed").json()["results"] == []
    assert_problem(api.get(f"{pages}?status=lost"), 400, "invalid-parameter")


def test_a_webhook_is_changed_disabled_and_deleted(api: Api, receiver: Receiver) -> None:
    """What is not named stays; disabled, it is not tested; deleted, it is gone."""
    made = create(api, receiver, description="Ours")
    url = f"{WEBHOOKS}{made['id']}/"
    changed = api.patch(url, {"events": ["workflow.finished"], "is_enabled": False}).json()
    assert (changed["description"], changed["events"], changed["is_enabled"]) == (
        "Ours",
        ["workflow.finished"],
        False,
    )
    assert api.patch(url, {}).json() == changed
    assert_problem(api.post(f"{url}test/", {}), 409, "webhook-disabled")
    assert api.patch(url, {"is_enabled": True, "events": []}).json()["events"] == []
    assert api.delete(url).status_code == 204
    assert_problem(api.get(url), 404, "not-found")


def test_a_rotated_secret_signs_beside_the_old_one(api: Api, receiver: Receiver) -> None:
    """For as long as was asked for."""
    made = create(api, receiver)
    url = f"{WEBHOOKS}{made['id']}/"
    rotated = api.post(f"{url}rotate-secret/", {"overlap_seconds": 60}).json()
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_expires_at"] is not None
    api.post(f"{url}test/", {})
    deliveries_work()
    for secret in (made["secret"], rotated["secret"]):
        assert receiver.requests[0].verified(secret)
    for wrong in (-1, 7 * 86_400 + 1, "60", 1.5):
        assert_problem(api.post(f"{url}rotate-secret/", {"overlap_seconds": wrong}), 400)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "/url"),
        ({"url": "ftp://example.com/"}, "/url"),
        ({"url": "https://user:secret@example.com/"}, "/url"),
        ({"url": "https://" + "a" * 2000}, "/url"),
        ({"url": 5}, "/url"),
        ({"url": "http://127.0.0.1/"}, "/url"),
        ({"url": "http://localhost:5432/"}, "/url"),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "/url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "http://0x7f000001/"}, "/url"),
        ({"url": "https://93.184.215.14/", "events": ["workflow.started"]}, "/events"),
        ({"url": "https://93.184.215.14/", "events": "workflow.finished"}, "/events"),
        ({"url": "https://93.184.215.14/", "secret": "mine"}, "/secret"),
        ({"url": "https://93.184.215.14/", "description": "x" * 201}, "/description"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused(api: Api, fields: dict[str, Any], pointer: str) -> None:
    """400 that names the field, and nothing is stored."""
    problem = assert_problem(api.post(WEBHOOKS, fields), 400, "invalid-request")
    assert problem["errors"][0]["pointer"].startswith(pointer)
    assert not Endpoint.objects.exists()


def test_a_url_of_the_inside_is_refused_in_a_change_too(api: Api, receiver: Receiver) -> None:
    """The old one stays."""
    made = create(api, receiver)
    problem = api.patch(f"{WEBHOOKS}{made['id']}/", {"url": "http://10.0.0.1/"})
    assert "private" in assert_problem(problem, 400)["errors"][0]["detail"]
    assert Endpoint.objects.get().url == receiver.url


def test_a_tenant_has_twenty_webhooks_at_most(api: Api, receiver: Receiver, tenant: Tenant) -> None:
    """409 for the next one, until one is deleted."""
    Endpoint.objects.bulk_create([Endpoint(tenant=tenant, url=receiver.url, secret="x") for _ in range(20)])
    assert_problem(api.post(WEBHOOKS, {"url": receiver.url}), 409, "too-many-webhooks")
    endpoint = Endpoint.objects.first()
    assert endpoint is not None
    api.delete(f"{WEBHOOKS}{endpoint.pk}/")
    create(api, receiver)


def test_another_tenant_sees_none_of_it(
    api: Api, other_api: Api, anonymous: Api, tenant: Tenant, receiver: Receiver
) -> None:
    """404 for each thing of somebody else's, and lists without it."""
    made = create(api, receiver)
    url = f"{WEBHOOKS}{made['id']}/"
    delivery_id = api.post(f"{url}test/", {}).json()["id"]
    notify(
        code="budget.threshold",
        severity="info",
        title="t",
        message="m",
        audience="tenant",
        tenant_id=tenant.pk,
    )
    refused = [
        other_api.get(url),
        other_api.patch(url, {"is_enabled": False}),
        other_api.delete(url),
        other_api.post(f"{url}rotate-secret/", {}),
        other_api.post(f"{url}test/", {}),
        other_api.get(f"{url}deliveries/"),
        other_api.post(f"{WEBHOOKS}deliveries/{delivery_id}/redeliver/", {}),
        api.get(f"{WEBHOOKS}{uuid.uuid4()}/"),
    ]
    for response in refused:
        assert_problem(response, 404, "not-found")
    for path in (WEBHOOKS, NOTICES):
        assert other_api.get(path).json()["results"] == []
        assert_problem(anonymous.get(path), 401)
    assert Endpoint.objects.get().is_enabled
    assert Delivery.objects.count() == 2


def test_a_tenant_reads_its_notices(api: Api, tenant: Tenant) -> None:
    """Newest first, in pages; what was for operators alone is not among them."""
    for title, audience in (("first", "tenant"), ("hidden", "operators"), ("second", "both")):
        notify(
            code="budget.threshold",
            severity="warning",
            title=title,
            message="m",
            audience=audience,
            tenant_id=tenant.pk,
            data={"percent": 80},
        )
    page = api.get(f"{NOTICES}?limit=1").json()
    assert [(notice["title"], notice["data"]) for notice in page["results"]] == [("second", {"percent": 80})]
    rest = api.get(page["next"].removeprefix("http://testserver")).json()
    assert [notice["title"] for notice in rest["results"]] == ["first"]
