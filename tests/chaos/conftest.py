"""A product that is to be hurt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.product import LONG, Product, eventually, running_product

LEASE = {} if LONG else {"LEASE_SECONDS": "6", "LEASE_RENEWAL_SECONDS": "2"}
"""`make chaos` waits for the leases of every day; `make test` for shorter ones."""

PROMPT = {"RESERVATION_GRACE_SECONDS": "5", "BATCH_WAIT_SECONDS": "1", "BATCH_POLL_SECONDS": "0.5"}
"""What is swept after a minute, every day."""


@pytest.fixture(scope="session")
def _product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(tmp_path_factory.mktemp("chaos"), **LEASE, **PROMPT) as product:
        yield product


@pytest.fixture
def product(_product: Product) -> Product:
    """The running product, whole again after whatever the test before did to it."""
    eventually(_product.is_ready, 60, "the product did not recover")
    _product.reset_simulator()
    return _product
