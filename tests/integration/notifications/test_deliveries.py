"""Webhooks on their way: signed, tried again, given up, made again."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, cast

import pytest
from django.db import connection, transaction
from django.db.models import F
from standardwebhooks import WebhookVerificationError

from apps.database import call_function, to_jsonb
from apps.notifications.deliveries import (
    ENDPOINT_SLOTS,
    deliveries_sweep,
    deliveries_work,
    delivery_attempt,
    delivery_take,
)
from apps.notifications.endpoints import (
    IssuedSecret,
    NotRedeliverable,
    delivery_redeliver,
    endpoint_create,
    endpoint_delete,
    endpoint_ping,
    endpoint_rotate_secret,
    endpoint_update,
)
from apps.notifications.models import Delivery, Endpoint, Notice
from apps.notifications.secrets import secret_decrypt
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from tests.product import eventually
from tests.receiver import Receiver

HELD = {"workflow_id": "1"}


def emit(tenant: Tenant, event_type: str = "workflow.held", data: Any = HELD) -> int:
    """As the database does."""
    ((count,),) = call_function(
        "notifications_emit", [tenant.pk, event_type, to_jsonb(data)], ["uuid", "text", "jsonb"]
    )
    return int(count)


def hurry() -> None:
    """Makes what waits for its next attempt due."""
    Delivery.objects.filter(status="pending").update(next_attempt_at=F("created_at"))


def connections_in_use() -> int:
    """How many connections of this process's pool somebody has borrowed; this thread may be one."""
    stats = cast(Any, connection).pool.get_stats()
    return int(stats["pool_size"] - stats["pool_available"])


def log_of(delivery: Delivery) -> list[tuple[int | None, str]]:
    return list(delivery.log.values_list("status_code", "error_code"))


def test_an_event_arrives_signed(tenant: Tenant, issued: IssuedSecret, receiver: Receiver) -> None:
    """Type, time and data, verified by the library that receivers use."""
    assert emit(tenant) == 1
    assert deliveries_work() == 1
    (request,) = receiver.requests
    delivery = Delivery.objects.get()
    document = request.verified(issued.plaintext)
    assert (document["type"], document["data"]) == ("workflow.held", HELD)
    assert document["timestamp"].startswith(f"{delivery.created_at:%Y-%m-%dT%H:%M}")
    assert request.headers["webhook-id"] == f"msg_{delivery.event_id}"
    assert (delivery.status, delivery.attempts, delivery.leased_until) == ("delivered", 1, None)
    assert log_of(delivery) == [(204, "")]
    with pytest.raises(WebhookVerificationError):
        request.verified("whsec_" + "b" * 43 + "=")


def test_only_endpoints_that_want_an_event_get_it(tenant: Tenant, receiver: Receiver) -> None:
    """By tenant, by event, and while they are enabled; one event has one id."""
    wanted = [
        endpoint_create(tenant=tenant, url=receiver.url).endpoint,
        endpoint_create(tenant=tenant, url=receiver.url, events=["ping2", "workflow.held"]).endpoint,
    ]
    endpoint_create(tenant=tenant, url=receiver.url, events=["budget.threshold"])
    endpoint_create(tenant=tenant_create(name="other", tier="standard"), url=receiver.url)
    endpoint_create(tenant=None, url=receiver.url)
    endpoint_update(endpoint_create(tenant=tenant, url=receiver.url).endpoint, {"is_enabled": False})
    assert emit(tenant) == 2
    made = Delivery.objects.all()
    assert {one.endpoint_id for one in made} == {one.pk for one in wanted}
    assert len({one.event_id for one in made}) == 1


def test_an_endpoint_that_fails_twice_gets_it_the_third_time(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """The same event and body, signed anew; meanwhile it waits for its backoff."""
    receiver.answer(500, b"out of order")
    receiver.answer(503, Retry_After="3600")
    emit(tenant)
    assert deliveries_work() == 1
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.reason) == ("pending", "The endpoint answered 500.")
    assert delivery.log.get().response_excerpt == "out of order"
    assert 0 < (delivery.next_attempt_at - delivery.created_at).total_seconds() < 3_601
    issued.endpoint.refresh_from_db()
    assert issued.endpoint.failing_since is not None
    hurry()
    deliveries_work()
    delivery.refresh_from_db()
    assert (delivery.next_attempt_at - delivery.created_at).total_seconds() > 3500
    hurry()
    deliveries_work()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("delivered", 3)
    assert log_of(delivery) == [(500, "http_500"), (503, "http_503"), (204, "")]
    assert len({(request.headers["webhook-id"], request.body) for request in receiver.requests}) == 1
    issued.endpoint.refresh_from_db()
    assert issued.endpoint.failing_since is None


def test_after_the_last_attempt_it_has_failed_and_can_be_made_again(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """By hand, with as many attempts as before; the log stays."""
    emit(tenant)
    Delivery.objects.update(attempts=20)
    receiver.answer(404)
    deliveries_work()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.reason) == ("failed", "The endpoint answered 404.")
    assert delivery.finished_at is not None
    delivery_redeliver(delivery)
    assert deliveries_work() == 1
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, log_of(delivery)) == (
        "delivered",
        1,
        [(404, "http_404"), (204, "")],
    )


def test_what_is_under_way_or_has_no_endpoint_is_not_made_again(tenant: Tenant, issued: IssuedSecret) -> None:
    """Each refusal says why."""
    emit(tenant)
    with pytest.raises(NotRedeliverable, match="under way"):
        delivery_redeliver(Delivery.objects.select_related("endpoint").get())
    endpoint_update(issued.endpoint, {"is_enabled": False})
    with pytest.raises(NotRedeliverable, match="disabled"):
        delivery_redeliver(Delivery.objects.select_related("endpoint").get())
    endpoint_delete(issued.endpoint)
    with pytest.raises(NotRedeliverable, match="deleted"):
        delivery_redeliver(Delivery.objects.select_related("endpoint").get())


def test_gone_disables_the_endpoint_and_its_owner_is_told(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """410 at once: what else waits is skipped, and a notice is there for the tenant and the operators."""
    receiver.answer(410)
    emit(tenant)
    emit(tenant)
    deliveries_work()
    assert sorted(Delivery.objects.values_list("status", flat=True)) == ["failed", "skipped"]
    endpoint = Endpoint.objects.get()
    assert (endpoint.is_enabled, endpoint.disabled_reason) == (False, "It answered 410 Gone.")
    notice = Notice.objects.get()
    assert (notice.code, notice.audience, notice.tenant) == ("webhook.endpoint_disabled", "both", tenant)
    assert emit(tenant) == 0


def test_an_endpoint_that_fails_for_days_is_disabled(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """Enabled again, it starts anew."""
    Endpoint.objects.update(failing_since=F("created_at") - timedelta(days=4, hours=23))
    receiver.answer(500)
    emit(tenant)
    deliveries_work()
    assert Endpoint.objects.get().is_enabled
    Endpoint.objects.update(failing_since=F("created_at") - timedelta(days=5))
    receiver.answer(500)
    hurry()
    deliveries_work()
    endpoint = Endpoint.objects.get()
    assert not endpoint.is_enabled
    assert endpoint.disabled_reason.startswith("It has failed since ")
    assert Delivery.objects.get(event_type="workflow.held").status == "skipped"
    endpoint = endpoint_update(endpoint, {"is_enabled": True})
    assert (endpoint.failing_since, endpoint.disabled_reason) == (None, "")
    assert emit(tenant) == 1


def test_while_a_secret_is_rotated_both_sign(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """For the overlap; without one the old secret is worth nothing at once."""
    rotated = endpoint_rotate_secret(issued.endpoint, overlap=timedelta(hours=1))
    emit(tenant)
    deliveries_work()
    for secret in (issued.plaintext, rotated.plaintext):
        assert receiver.requests[0].verified(secret)
    Endpoint.objects.update(previous_secret_expires_at=F("created_at"))
    again = endpoint_rotate_secret(issued.endpoint, overlap=timedelta(0))
    emit(tenant)
    deliveries_work()
    assert receiver.requests[1].verified(again.plaintext)
    with pytest.raises(WebhookVerificationError):
        receiver.requests[1].verified(rotated.plaintext)


def test_a_secret_is_stored_encrypted(issued: IssuedSecret, settings: Any) -> None:
    """With a SECRET_KEY that has changed it is read by the fallback, or not at all."""
    stored = Endpoint.objects.get().secret
    assert issued.plaintext.removeprefix("whsec_") not in stored
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert secret_decrypt(stored) == issued.plaintext
    settings.SECRET_KEY_FALLBACKS = []
    endpoint_ping(issued.endpoint)
    deliveries_work()
    assert log_of(Delivery.objects.get()) == [(None, "secret_unreadable")]


def test_an_address_that_was_public_at_creation_is_refused_when_it_no_longer_is(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver, settings: Any
) -> None:
    """The check is at the connection, with what the name says then."""
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    emit(tenant)
    deliveries_work(resolve=lambda host, port: [ip_address("10.0.0.7")])
    delivery = Delivery.objects.get()
    assert log_of(delivery) == [(None, "address_refused")]
    assert "private" in delivery.reason
    assert "10.0.0.7" not in delivery.reason
    assert receiver.requests == []


def test_a_host_that_fails_again_and_again_is_left_alone(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """Five failures open its circuit: what waits is put off without an attempt. Another tenant's is its own."""
    other = tenant_create(name="other", tier="standard")
    endpoint_create(tenant=other, url=receiver.url)
    for _ in range(8):
        emit(tenant)
    for _ in range(5):
        receiver.answer(500)
    deliveries_work()
    assert len(receiver.requests) == 5
    untried = Delivery.objects.filter(attempts=0)
    assert untried.count() == 3
    assert all(20 < (one.next_attempt_at - one.created_at).total_seconds() < 40 for one in untried)
    emit(other)
    deliveries_work()
    assert len(receiver.requests) == 6


def test_a_refusal_opens_no_circuit(tenant: Tenant, issued: IssuedSecret, receiver: Receiver) -> None:
    """A 404 speaks of the URL, not of the host."""
    for _ in range(6):
        emit(tenant)
        receiver.answer(404)
    deliveries_work()
    assert len(receiver.requests) == 6


def test_what_one_process_has_taken_no_other_takes(tenant: Tenant, issued: IssuedSecret) -> None:
    """Until the lease ends; then another has it, and the first records nothing any more."""
    emit(tenant)
    first = delivery_take()
    assert first is not None
    assert delivery_take() is None
    assert delivery_take(first[0]) is None
    Delivery.objects.update(next_attempt_at=F("created_at"), leased_until=F("created_at"))
    second = delivery_take()
    assert second == (first[0], first[1] + 1)
    delivery_attempt(*second)
    delivery_attempt(*first)
    assert log_of(Delivery.objects.get()) == [(204, "")]


@pytest.mark.django_db(transaction=True)
def test_a_late_result_does_not_undo_a_newer_one(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """Whose lease has been given to another changes nothing, though its request was answered."""
    emit(tenant)
    taken = delivery_take()
    assert taken is not None
    receiver.answer(500)
    receiver.held.clear()
    attempt = threading.Thread(target=delivery_attempt, args=taken)
    attempt.start()
    assert receiver.arrived.wait(5)
    Delivery.objects.update(lease=F("lease") + 1)
    receiver.held.set()
    attempt.join()
    assert log_of(Delivery.objects.get()) == []


@pytest.mark.django_db(transaction=True)
def test_many_workers_deliver_each_event_once(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """Forty events, eight threads."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT notifications_emit(%s, 'workflow.held', to_jsonb(n)) FROM generate_series(1, 40) n",
            [tenant.pk],
        )
    with ThreadPoolExecutor(8) as pool:
        working = [pool.submit(deliveries_work) for _ in range(8)]
    assert sum(one.result() for one in working) == 40
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 40
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_that_hangs_holds_its_slots_and_keeps_nobody_waiting(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """No connection of the database is held meanwhile, and another tenant's event arrives."""
    for _ in range(ENDPOINT_SLOTS + 2):
        emit(tenant)
    receiver.held.clear()
    with ThreadPoolExecutor(5) as pool:
        for _ in range(5):
            pool.submit(deliveries_work)
        eventually(lambda: len(receiver.requests) == ENDPOINT_SLOTS, 5, "the endpoint is not called")
        assert delivery_take() is None
        assert connections_in_use() <= 1, "an attempt holds a connection of the database"
        other = tenant_create(name="other", tier="standard")
        endpoint_create(tenant=other, url=receiver.url)
        emit(other)
        assert delivery_take() is not None
        receiver.held.set()
    assert len(receiver.requests) == ENDPOINT_SLOTS + 2


@pytest.mark.django_db(transaction=True)
def test_two_that_take_at_once_do_not_pass_the_limit_together(tenant: Tenant, issued: IssuedSecret) -> None:
    """The second waits until the first has committed, and counts what it has taken."""
    for _ in range(ENDPOINT_SLOTS + 1):
        emit(tenant)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert all(delivery_take() for _ in range(ENDPOINT_SLOTS))
            one_more = pool.submit(delivery_take)
            with pytest.raises(TimeoutError):
                one_more.result(timeout=0.1)
        assert one_more.result(timeout=5) is None


@pytest.mark.django_db(transaction=True)
def test_the_sweep_delivers_in_the_background(
    tenant: Tenant, issued: IssuedSecret, receiver: Receiver
) -> None:
    """It returns at once; nothing due starts nothing."""
    assert deliveries_sweep() == 0
    emit(tenant)
    assert deliveries_sweep() == 1
    eventually(lambda: Delivery.objects.get().status == "delivered", 5, "it is not delivered")


def test_a_hinted_delivery_goes_first(tenant: Tenant, issued: IssuedSecret, receiver: Receiver) -> None:
    """Before what has been due for longer."""
    emit(tenant)
    ping = endpoint_ping(issued.endpoint)
    assert deliveries_work(ping.pk) == 2
    types = [request.verified(issued.plaintext)["type"] for request in receiver.requests]
    assert types == ["ping", "workflow.held"]
    assert deliveries_work(uuid.uuid4()) == 0


def test_a_deleted_endpoint_is_sent_nothing(tenant: Tenant, issued: IssuedSecret, receiver: Receiver) -> None:
    """Neither what waited, nor what was made at the same time."""
    emit(tenant)
    emit(tenant)
    late = Delivery.objects.first()
    assert late is not None
    endpoint_delete(issued.endpoint)
    Delivery.objects.filter(pk=late.pk).update(status="pending", finished_at=None)
    deliveries_work()
    assert set(Delivery.objects.values_list("status", "reason")) == {
        ("skipped", "Its endpoint has been deleted.")
    }
    assert receiver.requests == []
