"""What an edit has changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.workflows.json_changes import ABSENT, changes_between

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [{"change": "replaced", "pointer": "/a", "before": 1, "after": 2}]),
        ({}, {"a": None}, [{"change": "added", "pointer": "/a", "after": None}]),
        ({"a": [1, 2]}, {"a": [1]}, [{"change": "removed", "pointer": "/a/1", "before": 2}]),
        ({"a": 1}, {"a": True}, [{"change": "replaced", "pointer": "/a", "before": 1, "after": True}]),
        (
            {"a/b": {"~": 1}},
            {"a/b": {"~": 2}},
            [{"change": "replaced", "pointer": "/a~1b/~0", "before": 1, "after": 2}],
        ),
        ([], {}, [{"change": "replaced", "pointer": "", "before": [], "after": {}}]),
    ],
)
def test_the_places_that_differ_are_named(before: Any, after: Any, told: list[dict[str, Any]]) -> None:
    """By JSON Pointer, the smallest there are."""
    assert [change.to_json() for change in changes_between(before, after)] == told


@given(JSON, JSON)
def test_the_changes_make_one_of_the_other(before: Any, after: Any) -> None:
    """Nothing is left out."""
    root = {"": copy.deepcopy(before)}
    removals = []
    for change in changes_between(before, after):
        *path, last = [
            part.replace("~1", "/").replace("~0", "~") for part in ["", *change.pointer.split("/")[1:]]
        ]
        place: Any = root
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if change.after is ABSENT:
            removals.append((place, last))
        elif isinstance(place, list):
            place[int(last) :] = [change.after, *place[int(last) + 1 :]]
        else:
            place[last] = change.after
    for place, last in reversed(removals):
        del place[int(last) if isinstance(place, list) else last]
    assert root[""] == after
