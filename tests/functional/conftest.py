"""One running product for all functional tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.product import PROCESSES, Product, running_product

SOON = {
    "BATCH_MIN_SECONDS": "60",
    "BATCH_WAIT_SECONDS": "1",
    "BATCH_POLL_SECONDS": "0.3",
    "BATCH_LEASE_SECONDS": "3",
}
"""Batches are sent after a second, and looked for after three when whoever sent one is gone."""

HOOKS = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DELIVERY_RETRY_SECONDS": "0.2"}
"""Receivers of tests are on loopback, and what they refuse is sent again at once."""

TALK = {"SESSION_CONTEXT_TOKENS": "800"}
"""A conversation has grown large after a few turns."""


CLOCK = {"SCHEDULE_MIN_SECONDS": "1"}
"""A schedule may come every second."""


@pytest.fixture(scope="session")
def _product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    processes = (*PROCESSES, "beat")
    with running_product(
        tmp_path_factory.mktemp("functional"), processes, **SOON, **HOOKS, **TALK, **CLOCK
    ) as product:
        yield product


@pytest.fixture
def product(_product: Product) -> Product:
    """The running product, with a simulator that has no faults and no calls counted."""
    _product.reset_simulator()
    return _product
