"""Intermediates that processes share through a real Redis: made once, in time, and for their tenant alone."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from pytest_django import Settings

from agentplatform.context_caching import Entry, cache_key, encode
from apps import context_cache as context_cache_module
from apps.context_cache import RedisContextCache, context_cache_counts
from tests.integration.context_cache.conftest import Maker, cache_of_a_process, stored_under

Caches = list[RedisContextCache]


def counted(tenant_id: uuid.UUID) -> tuple[int, int]:
    """(hits, made) of the tenant."""
    mine = [count for count in context_cache_counts(hours=2) if count.tenant_id == tenant_id]
    return sum(count.hits for count in mine), sum(count.made for count in mine)


def test_what_one_process_made_another_finds(caches: Caches, tenant_id: uuid.UUID) -> None:
    """Until its time is up. Both are counted."""
    make = Maker()
    for cache in caches:
        assert cache.get_or_make("kind", tenant_id, {"a": 1}, make, ttl_seconds=60) == "value 1"
    assert caches[0].get_or_make("kind", tenant_id, {"a": 2}, make) == "value 2"
    assert counted(tenant_id) == (2, 2)
    (count,) = [count for count in context_cache_counts(hours=1) if count.tenant_id == tenant_id]
    assert count.kind == "kind"


def test_a_hit_takes_one_round_trip(caches: Caches, tenant_id: uuid.UUID, server: redis.Redis) -> None:
    """Reading, the time it has left, and counting are one command."""
    cache, make = caches[0], Maker()
    cache.get_or_make("kind", tenant_id, 1, make)
    with server.monitor() as monitor:
        cache.get_or_make("kind", tenant_id, 1, make)
        server.echo(str(tenant_id))
        sent = []
        for command in monitor.listen():
            if command["command"].startswith("ECHO") and str(tenant_id) in command["command"]:
                break
            if command["client_type"] != "lua" and str(tenant_id) in command["command"]:
                sent.append(command["command"].split()[0])
    assert sent == ["EVALSHA"]


def test_after_its_time_a_value_is_made_anew(caches: Caches, tenant_id: uuid.UUID) -> None:
    """Redis itself forgets it."""
    make = Maker()
    caches[0].get_or_make("kind", tenant_id, 1, make, ttl_seconds=0.01)
    time.sleep(0.02)
    assert caches[1].get_or_make("kind", tenant_id, 1, make, ttl_seconds=0.01) == "value 2"


def test_tenants_and_kinds_are_apart(caches: Caches, tenant_id: uuid.UUID) -> None:
    """The same parts are other values."""
    make = Maker()
    cache = caches[0]
    assert cache.get_or_make("kind", tenant_id, 1, make) == "value 1"
    assert cache.get_or_make("kind", uuid.uuid4(), 1, make) == "value 2"
    assert cache.get_or_make("other", tenant_id, 1, make) == "value 3"


def test_many_who_miss_at_once_make_it_once(caches: Caches, tenant_id: uuid.UUID) -> None:
    """Of 24 threads of three processes one makes it; the others wait for it."""
    make = Maker(then=lambda: time.sleep(0.05))
    start = threading.Barrier(24)

    def ask(number: int) -> str:
        start.wait()
        return str(caches[number % 3].get_or_make("kind", tenant_id, 1, make))

    with ThreadPoolExecutor(24) as threads:
        assert set(threads.map(ask, range(24))) == {"value 1"}
    assert make.count == 1


def test_who_has_waited_enough_makes_it_too(caches: Caches, tenant_id: uuid.UUID) -> None:
    """Whoever makes it may be long about it, or gone."""
    holds, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        holds.set()
        goes_on.wait(5)

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(caches[0].get_or_make, "kind", tenant_id, 1, Maker(then=hang))
        holds.wait(5)
        make = Maker()
        assert caches[1].get_or_make("kind", tenant_id, 1, make, wait_seconds=0.03) == "value 1"
        assert make.count == 1
        goes_on.set()
        slow.result(5)


def test_who_made_it_is_gone_another_takes_over(
    caches: Caches, tenant_id: uuid.UUID, server: redis.Redis
) -> None:
    """When the lease ends, and not only when everybody's patience does."""
    key = cache_key("kind", tenant_id, 1)
    server.set(f"{stored_under(key)}.lease", "of a killed process", px=50)
    started = time.monotonic()
    assert caches[0].get_or_make("kind", tenant_id, 1, Maker(), wait_seconds=5) == "value 1"
    assert 0.03 < time.monotonic() - started < 2


@pytest.mark.parametrize("fails", [True, False])
def test_nobody_waits_for_what_is_not_kept(caches: Caches, tenant_id: uuid.UUID, fails: bool) -> None:
    """An error is its maker's alone, and a value that is not worth it as well; those who come next make their own."""

    def fail() -> None:
        if fails:
            raise LookupError("no")

    for cache in caches:
        try:
            started = time.monotonic()
            cache.get_or_make("kind", tenant_id, 1, Maker(then=fail), is_worth=lambda value: False)
            assert not fails
        except LookupError:
            assert fails
        assert time.monotonic() - started < 0.2
    assert counted(tenant_id) == (0, 3)
    assert caches[0].get_or_make("kind", tenant_id, 1, Maker()) == "value 1"
    assert caches[1].get_or_make("kind", tenant_id, 1, Maker(then=pytest.fail)) == "value 1"


def test_who_waited_for_what_was_not_kept_makes_it_at_the_same_time(
    caches: Caches, tenant_id: uuid.UUID
) -> None:
    """Rather than one after the other: eight that wait all meet in the making."""
    holds, goes_on, meet = threading.Event(), threading.Event(), threading.Barrier(8)

    def hang() -> None:
        holds.set()
        goes_on.wait(5)

    def ask(number: int, make: Maker) -> Any:
        return caches[number % 3].get_or_make("kind", tenant_id, 1, make, is_worth=lambda value: False)

    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(ask, 0, Maker(then=hang))
        assert holds.wait(5)
        others = [threads.submit(ask, number, Maker(then=lambda: meet.wait(1))) for number in range(8)]
        goes_on.set()
        assert [one.result(5) for one in (first, *others)] == ["value 1"] * 9


def near_its_end(server: redis.Redis, tenant_id: uuid.UUID, value: str = "old") -> None:
    """Stores a value that took long to make and has little time left: every reader would make it anew."""
    key = cache_key("kind", tenant_id, 1)
    server.set(stored_under(key), encode(key, Entry(value, 1e9)) or b"", ex=30)


def test_what_is_hot_is_made_anew_by_one_while_the_others_are_served(
    caches: Caches, tenant_id: uuid.UUID, server: redis.Redis
) -> None:
    """The old value is given without waiting; then the new one."""
    near_its_end(server, tenant_id)
    holds, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        holds.set()
        goes_on.wait(5)

    make = Maker(then=hang)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(caches[0].get_or_make, "kind", tenant_id, 1, make)
        assert holds.wait(5)
        assert [cache.get_or_make("kind", tenant_id, 1, make) for cache in caches * 3] == ["old"] * 9
        goes_on.set()
        assert first.result(5) == "value 1"
    assert [cache.get_or_make("kind", tenant_id, 1, make) for cache in caches] == ["value 1"] * 3
    assert make.count == 1


def test_a_cold_value_is_left_to_expire(caches: Caches, tenant_id: uuid.UUID) -> None:
    """A hundred readers of a fresh one make nothing."""
    make = Maker()
    for _ in range(100):
        caches[0].get_or_make("kind", tenant_id, 1, make, ttl_seconds=3600)
    assert make.count == 1


@pytest.mark.parametrize("fails", [True, False])
def test_the_old_value_holds_when_no_better_is_to_be_had(
    caches: Caches, tenant_id: uuid.UUID, server: redis.Redis, fails: bool
) -> None:
    """Neither an error nor a value of less worth takes its place before its end."""

    def fail() -> None:
        if fails:
            raise LookupError("no")

    near_its_end(server, tenant_id)
    make = Maker(then=fail)
    assert caches[0].get_or_make("kind", tenant_id, 1, make, is_worth=lambda value: False) == "old"
    assert make.count == 1


@pytest.mark.parametrize("spoil", [lambda stored: stored[:-1], lambda _: b"", lambda _: b"\x00" * 40])
def test_a_corrupt_value_is_dropped_and_made_anew(
    caches: Caches, tenant_id: uuid.UUID, server: redis.Redis, spoil: Callable[[bytes], bytes]
) -> None:
    """It is no hit, and no error."""
    make = Maker()
    caches[0].get_or_make("kind", tenant_id, 1, make)
    name = stored_under(cache_key("kind", tenant_id, 1))
    stored = server.get(name)
    assert isinstance(stored, bytes)
    server.set(name, spoil(stored))
    assert caches[1].get_or_make("kind", tenant_id, 1, make) == "value 2"
    assert caches[2].get_or_make("kind", tenant_id, 1, make) == "value 2"
    assert counted(tenant_id) == (1, 2)


def test_anothers_value_is_dropped(caches: Caches, tenant_id: uuid.UUID, server: redis.Redis) -> None:
    """One that stands under the wrong key is nobody's."""
    other = uuid.uuid4()
    caches[0].get_or_make("kind", other, 1, lambda: "secret")
    stored = server.get(stored_under(cache_key("kind", other, 1)))
    assert isinstance(stored, bytes)
    server.set(stored_under(cache_key("kind", tenant_id, 1)), stored)
    assert caches[0].get_or_make("kind", tenant_id, 1, Maker()) == "value 1"


def test_without_the_layer_it_is_made_each_time(tenant_id: uuid.UUID, settings: Settings) -> None:
    """And nothing is asked or stored."""
    settings.CACHE_LAYERS = frozenset({"exact"})
    cache, make = cache_of_a_process(), Maker()
    assert [cache.get_or_make("kind", tenant_id, 1, make) for _ in range(2)] == ["value 1", "value 2"]
    assert counted(tenant_id) == (0, 0)


def test_what_depends_on_no_json_is_made_each_time(caches: Caches, tenant_id: uuid.UUID) -> None:
    """It costs a warning, not the step."""
    make = Maker()
    assert [caches[0].get_or_make("kind", tenant_id, {"\ud800"}, make) for _ in range(2)] == [
        "value 1",
        "value 2",
    ]


def test_counts_are_kept_for_two_days(caches: Caches, tenant_id: uuid.UUID, server: redis.Redis) -> None:
    """Then Redis forgets them by itself."""
    caches[0].get_or_make("kind", tenant_id, 1, Maker())
    names = list(server.scan_iter(f"{context_cache_module.COUNTS_PREFIX}*"))
    assert names
    assert all(0 < server.ttl(name) <= 48 * 3600 for name in names)
