"""A tenant is told of its workflows by signed webhooks, over REST, on real processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.product import Product, eventually
from tests.receiver import Receiver, receiving

WEBHOOKS = "/api/v1/webhooks/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def webhook(product: Product, receiver: Receiver) -> Iterator[dict[str, Any]]:
    """The tenant's webhook at the receiver, for ends of workflows alone."""
    response = product.http.post(WEBHOOKS, json={"url": receiver.url, "events": ["workflow.finished"]})
    assert response.status_code == 201, response.text
    yield response.json()
    product.http.delete(f"{WEBHOOKS}{response.json()['id']}/")


def test_the_end_of_a_workflow_is_told_within_seconds(
    product: Product, receiver: Receiver, webhook: dict[str, Any]
) -> None:
    """Signed, with what it came to; a receiver that fails twice gets it the third time, with the same id."""
    receiver.answer(500)
    receiver.answer(503)
    workflow_id = product.submit("one_ask", {"text": "What is a lease?"})
    workflow = product.finished(workflow_id)
    eventually(lambda: len(receiver.requests) == 3, 10, "it does not come three times")
    document = receiver.requests[2].verified(webhook["secret"])
    assert document["type"] == "workflow.finished"
    assert document["data"]["workflow_id"] == workflow_id
    assert document["data"]["status"] == workflow["status"] == "succeeded"
    assert b"lease" not in receiver.requests[2].body
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    deliveries = f"{WEBHOOKS}{webhook['id']}/deliveries/"
    eventually(
        lambda: product.http.get(deliveries).json()["results"][0]["status"] == "delivered",
        5,
        "it is not told",
    )
    (delivery,) = product.http.get(deliveries).json()["results"]
    assert [attempt["status_code"] for attempt in delivery["log"]] == [500, 503, 204]


def test_a_webhook_of_the_inside_is_refused(product: Product) -> None:
    """Another loopback than what is allowed, and the address of a cloud's metadata."""
    for url in ("http://[::1]:5432/", "http://169.254.169.254/latest/meta-data/"):
        response = product.http.post(WEBHOOKS, json={"url": url})
        assert response.status_code == 400, response.text
