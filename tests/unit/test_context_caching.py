"""Keys and encoding of intermediates that are kept, and when one is made anew before its end."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.context_caching import (
    MAX_VALUE_BYTES,
    Entry,
    LocalContextCache,
    cache_key,
    decode,
    encode,
    is_due,
)
from tests.unit.agents.scripting import Script, attempt

ONE, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
KEY = cache_key("kind", ONE, "x")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)
SECONDS = st.floats(0.001, 10_000)
DRAWS = st.floats(0, 1, exclude_min=True)


def due(remaining_seconds: float, draw: float, making_seconds: float = 1.0, ttl_seconds: float = 60) -> bool:
    return is_due(
        Entry(None, making_seconds), remaining_seconds=remaining_seconds, ttl_seconds=ttl_seconds, draw=draw
    )


@given(SECONDS, DRAWS, st.floats(-100, 0))
def test_nothing_is_used_past_its_end(making_seconds: float, draw: float, remaining_seconds: float) -> None:
    """Whatever the draw, a value with no time left is made anew."""
    assert due(remaining_seconds, draw, making_seconds)


@given(SECONDS, SECONDS, st.floats(0, 10_000), st.floats(0, 10_000), DRAWS)
def test_the_nearer_its_end_the_likelier_a_value_is_made_anew(
    making_seconds: float, ttl_seconds: float, one: float, other: float, draw: float
) -> None:
    """A draw that says yes says so at every later moment, and for every value that takes longer to make."""
    late, early = sorted((one, other))
    if due(early, draw, making_seconds, ttl_seconds):
        assert due(late, draw, making_seconds, ttl_seconds)
        assert due(early, draw, making_seconds * 2, ttl_seconds)


def test_how_often_it_is_due_is_as_in_the_paper() -> None:
    """exp(-remaining / making) of the readers, a tenth of them at 2.3 times what it takes to make."""
    draws = random.Random(7)
    yes = sum(due(2.3026, 1 - draws.random()) for _ in range(20_000))
    assert 0.09 < yes / 20_000 < 0.11


def test_a_fresh_value_is_never_due_and_a_quick_one_only_near_its_end() -> None:
    """Not one in a million readers renews what has nine tenths of its time left."""
    assert not due(54, 1e-6)
    assert due(0.5, 0.3, making_seconds=0.001)
    assert not due(0.5, 0.9, making_seconds=0.001)


@given(JSON, SECONDS)
def test_what_is_stored_comes_back(value: Any, making_seconds: float) -> None:
    """To the type: a hit is what the miss was."""
    stored = encode(KEY, Entry(value, making_seconds))
    assert stored is not None
    assert repr(decode(KEY, stored)) == repr(Entry(value, making_seconds))


@given(JSON, st.data())
def test_a_corrupt_value_is_none(value: Any, data: st.DataObject) -> None:
    """One bit is enough, wherever it is; so is a cut."""
    stored = bytearray(encode(KEY, Entry(value, 1.0)) or b"")
    place = data.draw(st.integers(0, len(stored) - 1))
    assert decode(KEY, bytes(stored[:place])) is None
    stored[place] ^= 1 << data.draw(st.integers(0, 7))
    assert decode(KEY, bytes(stored)) is None


@pytest.mark.parametrize(
    "value", [(1, 2), {1: "a"}, [ONE], {"a": (1,)}, float("nan"), 2**70, "\ud800", {"a": {1, 2}}]
)
def test_what_would_come_back_as_another_is_not_stored(value: Any) -> None:
    """A tuple as a list, a key as a text, a number as nothing."""
    assert encode(KEY, Entry(value, 1.0)) is None


def test_what_is_too_large_is_not_stored() -> None:
    """A store of all tenants has no place for one's library."""
    assert encode(KEY, Entry("x" * (MAX_VALUE_BYTES - 100), 1.0)) is not None
    assert encode(KEY, Entry("x" * MAX_VALUE_BYTES, 1.0)) is None


@given(st.tuples(st.text(), st.sampled_from([ONE, OTHER]), JSON), st.tuples(st.text(), st.just(ONE), JSON))
def test_keys_are_equal_when_all_is_equal(one: Any, other: Any) -> None:
    """Tenant, kind and every part; the order of keys makes no difference."""
    assert (cache_key(*one) == cache_key(*other)) == (repr(_ordered(one)) == repr(_ordered(other)))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list | tuple) else value


def test_a_value_under_anothers_key_is_none() -> None:
    """However it came to stand there."""
    stored = encode(cache_key("kind", OTHER, "x"), Entry("secret", 1.0))
    assert stored is not None
    assert decode(KEY, stored) is None


def test_a_step_remembers_until_the_time_is_up() -> None:
    """By the parts that it names; another tenant's step, and another kind, have their own."""
    now, made = [0.0], []
    step = attempt(Script(), {})
    step.context_cache = LocalContextCache(clock=lambda: now[0])

    def look(city: str, kind: str = "weather") -> Any:
        return step.remember(kind, {"city": city}, lambda: made.append(city) or len(made), ttl_seconds=60)

    assert [look("Bern"), look("Bern"), look("Rome"), look("Bern", "climate")] == [1, 1, 2, 3]
    now[0] = 59.9
    assert look("Bern") == 1
    now[0] = 60.0
    assert look("Bern") == 4
    step.tenant_id = OTHER
    assert look("Bern") == 5
