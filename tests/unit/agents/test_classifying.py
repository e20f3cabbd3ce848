"""The agents that give items labels."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.agents.agent import StepError
from agentplatform.agents.classifying import (
    CHUNK_CHARACTERS,
    CHUNK_ITEMS,
    ClassifyItem,
    ClassifyItems,
    CollectLabels,
    FindUnlabelled,
    SplitItems,
    item_chunks,
)
from tests.unit.agents.scripting import Script, attempt, codes

LABELS = {"labels": ["red", "blue"]}


def classified(answer: Any, count: int = 3, first: int = 10) -> list[str | None]:
    """The labels of a chunk whose model answers so."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    chunk = {"first": first, "items": [f"item <{n}>" for n in range(count)]}
    labels: list[str | None] = ClassifyItems().run(attempt(Script(text), LABELS, item=chunk))["labels"]
    return labels


def entries(*pairs: tuple[Any, Any]) -> dict[str, Any]:
    """An answer with these indices and labels."""
    return {"items": [{"index": index, "label": label} for index, label in pairs]}


@given(st.lists(st.integers(1, 2_000), min_size=1, max_size=200))
def test_chunks_hold_every_item_once_in_order_and_within_bounds(lengths: list[int]) -> None:
    """However long the items are."""
    items = [str(n % 10) * length for n, length in enumerate(lengths)]
    chunks = item_chunks(items)
    assert [item for chunk in chunks for item in chunk["items"]] == items
    assert [chunk["first"] for chunk in chunks] == [
        sum(len(before["items"]) for before in chunks[:n]) for n in range(len(chunks))
    ]
    for chunk in chunks:
        assert 1 <= len(chunk["items"]) <= CHUNK_ITEMS
        assert len(chunk["items"]) == 1 or sum(map(len, chunk["items"])) <= CHUNK_CHARACTERS


def test_five_thousand_items_are_two_hundred_chunks() -> None:
    """Each carries its own texts."""
    chunks = SplitItems().run(attempt(Script(), {"items": ["short"] * 5_000}))["chunks"]
    assert len(chunks) == 200


def test_each_item_of_a_chunk_is_asked_for_under_its_index() -> None:
    """Escaped, with the labels and what they stand for."""
    script = Script(json.dumps(entries((10, "red"), (11, "blue"))))
    chunk = {"first": 10, "items": ["a <b>", "c"]}
    step = attempt(script, {**LABELS, "instructions": "Red & so on"}, item=chunk)
    assert ClassifyItems().run(step) == {"first": 10, "labels": ["red", "blue"]}
    prompt = script.prompts[0]
    assert '<item id="10">a &lt;b&gt;</item>\n<item id="11">c</item>' in prompt
    assert "<labels>\nred\nblue\n</labels>\n<instructions>Red &amp; so on</instructions>" in prompt


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        (entries((10, "red"), (11, "blue"), (12, "red")), ["red", "blue", "red"]),
        (entries((12, "red"), (10, "blue")), ["blue", None, "red"]),
        (entries((10, "green"), (11, "blue"), (99, "red")), [None, "blue", None]),
        (entries((10, "red"), (10, "blue"), (11, "red"), (11, "red")), [None, "red", None]),
        (entries(("10", "red"), (True, "red"), (11, None), (12, ["red"])), [None, None, None]),
        ({"items": "none"}, [None, None, None]),
        ([], [None, None, None]),
        ("cut in the mid", [None, None, None]),
        ("", [None, None, None]),
    ],
)
def test_what_the_model_gives_no_label_has_none(answer: Any, labels: list[str | None]) -> None:
    """Whatever else it answers, and in whatever order."""
    assert classified(answer) == labels


def test_items_without_a_label_are_found() -> None:
    """Those that the model left out, and all of a chunk that was skipped."""
    chunks = [{"first": 0, "items": ["a", "b"]}, {"first": 2, "items": ["c", "d"]}]
    needs = {"split": {"chunks": chunks}, "classify": [{"first": 0, "labels": ["red", None]}, None]}
    assert FindUnlabelled().run(attempt(Script(), {}, needs)) == {
        "total": 4,
        "items": [{"index": 1, "text": "b"}, {"index": 2, "text": "c"}, {"index": 3, "text": "d"}],
    }


@pytest.mark.parametrize(
    ("answer", "label"),
    [('{"label": "blue"}', "blue"), ('{"label": "green"}', None), ("{}", None), ("[]", None), ("no", None)],
)
def test_one_item_is_asked_about_once_more(answer: str, label: str | None) -> None:
    """Each of its own; none again is no failure of the step."""
    script = Script(answer, answer)
    step = attempt(script, LABELS, item={"index": 7, "text": "<x>"})
    assert ClassifyItem().run(step) == {"index": 7, "label": label}
    assert "<text>&lt;x&gt;</text>" in script.prompts[0]


def collected(again: list[Any], classify: list[Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The result for four items of which two were asked about again, and its degradations."""
    needs = {
        "gaps": {"total": 4, "items": [{"index": 1, "text": "b"}, {"index": 3, "text": "d"}]},
        "classify": classify
        or [{"first": 0, "labels": ["red", None]}, {"first": 2, "labels": ["red", None]}],
        "again": again,
    }
    step = attempt(Script(), LABELS, needs)
    return CollectLabels().run(step), codes(step)


def test_labels_are_collected_in_order_and_counted() -> None:
    """With those that were given the second time."""
    result, told = collected([{"index": 1, "label": "blue"}, {"index": 3, "label": "red"}])
    assert [(item["index"], item["label"]) for item in result["items"]] == [
        (0, "red"),
        (1, "blue"),
        (2, "red"),
        (3, "red"),
    ]
    assert result["counts"] == {"red": 3, "blue": 1}
    assert (result["unclassified"], result["asked_again"], told) == ([], 2, [])


def test_items_that_stay_without_a_label_are_named() -> None:
    """One whose model gave none, one whose step was skipped."""
    result, told = collected([{"index": 1, "label": None}, None])
    assert (result["unclassified"], told) == ([1, 3], ["items_unclassified"])
    assert result["counts"] == {"red": 2, "blue": 0}


def test_without_any_label_there_is_no_result() -> None:
    """A permanent failure."""
    with pytest.raises(StepError) as caught:
        collected([None, None], [None, None])
    assert (caught.value.code, caught.value.transient) == ("nothing_classified", False)
