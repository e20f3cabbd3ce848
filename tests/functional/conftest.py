"""One running product for all functional tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.product import Product, running_product


@pytest.fixture(scope="session")
def _product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(tmp_path_factory.mktemp("functional")) as product:
        yield product


@pytest.fixture
def product(_product: Product) -> Product:
    """The running product, with a simulator that has no faults and no calls counted."""
    _product.reset_simulator()
    return _product
