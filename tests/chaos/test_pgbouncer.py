"""The product behind PgBouncer in transaction mode: nothing depends on a session of the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.chaos.storm import storm
from tests.chaos.test_storms import execute
from tests.pgbouncer import PROGRAM, pgbouncer
from tests.product import LONG, Product, broken_invariants

pytestmark = pytest.mark.skipif(not (LONG and PROGRAM), reason="make chaos, with pgbouncer installed")
DATABASE = "bounced"


@pytest.fixture(scope="module")
def bounced(_product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product that reaches the other's PostgreSQL through PgBouncer, in a database of its own."""
    outer = _product.stack.environment["DATABASE_URL"]
    execute(_product, f"CREATE DATABASE {DATABASE}")
    host = conninfo_to_dict(outer)
    direct = f"host={host['host']} port={host.get('port') or 5432} user={host['user']} dbname={DATABASE}"
    with pgbouncer(direct) as url:
        inner = Product(tmp_path_factory.mktemp("bounced"), DATABASE_URL=url)
        try:
            inner.start()
            yield inner
        finally:
            inner.close()
    execute(_product, f"DROP DATABASE {DATABASE} WITH (FORCE)")


def test_work_is_done_through_it(bounced: Product) -> None:
    """Chains, calls, fan-outs, retries, cancelling, streams."""
    ids = [
        bounced.submit("ten_noops", {}),
        bounced.submit("three_asks", {"calls": 2}),
        bounced.submit("fan_out", {"count": 30}),
        bounced.submit("fails_once", {}, priority="interactive"),
    ]
    assert {bounced.finished(workflow_id)["status"] for workflow_id in ids} == {"succeeded"}
    kinds = [kind for _, kind, _ in bounced.events(bounced.submit("ten_noops", {}))]
    assert kinds[-1] == "done"
    assert broken_invariants(bounced) == {}


def test_a_storm_is_weathered_through_it(bounced: Product) -> None:
    """Killed workers are recovered from."""
    with storm(bounced, seed=9) as raging:
        raging.kill_worker("standard")
        raging.kill_worker("interactive")
