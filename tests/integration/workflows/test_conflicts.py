"""A deadlock is no outage: nobody waits fifteen seconds for it."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, connection, transaction

from apps.database import is_conflict
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create


def test_a_deadlock_is_told_from_an_outage(transactional_db: None) -> None:
    """Two transactions that lock the same two rows in different orders; PostgreSQL ends one of them."""
    rows = [tenant_create(name=name, tier="standard").pk for name in ("one", "two")]
    both_hold = threading.Barrier(2)
    found: list[OperationalError] = []

    def lock(order: list[object]) -> None:
        try:
            with transaction.atomic():
                for number, pk in enumerate(order):
                    Tenant.objects.select_for_update().get(pk=pk)
                    if number == 0:
                        both_hold.wait(10)
        except OperationalError as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=lock, args=[order]) for order in (rows, rows[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    (deadlock,) = found
    assert is_conflict(deadlock)


def test_an_outage_is_not_taken_for_a_deadlock() -> None:
    """Its cause is another."""
    with pytest.raises(OperationalError) as raised:
        raise OperationalError("gone") from ConnectionError()
    assert not is_conflict(raised.value)
