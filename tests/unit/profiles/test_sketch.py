"""Sketches of distributions: right to a fiftieth, and the same however they were put together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.profiles.sketch import RELATIVE_ACCURACY, Sketch, bin_of, merged, value_of

VALUES = st.lists(st.one_of(st.just(0.0), st.floats(1e-5, 1e9)), min_size=1, max_size=60)


@given(VALUES, st.floats(0, 1))
def test_a_quantile_is_right_to_a_fiftieth_of_itself(values: list[float], share: float) -> None:
    """At any share, whatever the values are."""
    exact = sorted(values)[int(share * (len(values) - 1))]
    assert Sketch.of(values).quantile(share) == pytest.approx(exact, rel=RELATIVE_ACCURACY * 1.001)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_merged_sketches_are_the_sketch_of_all(parts: list[list[float]]) -> None:
    """Bins, ends and quantiles are equal; a sum may be off by its last digit."""
    whole = Sketch.of(value for part in parts for value in part)
    one = merged(Sketch.of(part) for part in parts)
    assert (one.bins, one.zeros, one.low, one.high) == (whole.bins, whole.zeros, whole.low, whole.high)
    assert one.total == pytest.approx(whole.total)
    assert one.count == sum(len(part) for part in parts)


@given(VALUES)
def test_a_stored_sketch_is_read_as_it_was(values: list[float]) -> None:
    """Through JSON, as the database keeps it."""
    sketch = Sketch.of(values)
    assert Sketch.from_json(json.loads(json.dumps(sketch.to_json()))) == sketch


@given(st.floats(1e-5, 1e12))
def test_a_bin_stands_for_what_is_in_it(value: float) -> None:
    """No value is further than a fiftieth from that of its bin."""
    bin_ = bin_of(value)
    assert bin_ is not None
    assert value_of(bin_) == pytest.approx(value, rel=RELATIVE_ACCURACY * 1.001)


def test_values_are_counted_between_edges() -> None:
    """Zero lies before the first edge, and what is above all edges behind the last."""
    assert Sketch.of([0, 1, 5, 50, 500]).counts_between([3, 60]) == [2, 2, 1]
    assert Sketch().counts_between([3]) == [0, 0]


def test_an_empty_sketch_knows_nothing() -> None:
    """And says so."""
    assert (Sketch().count, Sketch().mean, Sketch().quantile(0.5)) == (0, None, None)
