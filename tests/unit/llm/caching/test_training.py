"""What the scorer learns from."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import pytest

from agentplatform.llm.caching.perturbing import (
    carrier,
    clause,
    dropped,
    letters,
    qualifier,
    replaced,
    typing_error,
)
from agentplatform.llm.caching.rows import DataError, Question, read_pairs, read_questions
from agentplatform.llm.caching.training import main, perturbed_pairs, written_pairs


def test_written_pairs_say_both_what_serves_and_what_does_not() -> None:
    """Each line is a group of its own."""
    pairs = written_pairs()
    assert {pair.label for pair in pairs} == {0, 1}
    assert all(pair.a and pair.b and pair.a != pair.b for pair in pairs)
    assert all(sum(pair.group == group for pair in pairs) > 1 for group in {pair.group for pair in pairs})


def test_a_changed_question_differs_as_it_is_meant_to() -> None:
    """Each change on one example."""
    random, text = Random(1), "how do i renew the library subscription"
    assert len(typing_error(text, random) or "") - len(text) in (-1, 0, 1)
    assert (letters(text, random) or "").lower().rstrip("?") == text
    assert (carrier(text, random) or "").endswith("renew the library subscription")
    assert len((qualifier(text, random) or "").split()) == len(text.split()) + 1
    assert (clause(text, random) or "").startswith(text)
    assert len((dropped(text, random) or "").split()) == len(text.split()) - 1
    assert "museum" in (replaced(lambda word: ["museum"])(text, random) or "")


def test_what_is_made_of_a_question_stays_in_its_group() -> None:
    """So that nothing of a group is learned from when the group is judged."""
    questions = [
        Question(f"how do i renew passport number {place}", f"intent {place}") for place in range(40)
    ]
    pairs = perturbed_pairs(questions, lambda word: ["ticket"])
    assert {pair.label for pair in pairs} == {0, 1}
    assert all(pair.a.endswith(pair.group.removeprefix("intent ")) for pair in pairs)
    assert pairs == perturbed_pairs(questions, lambda word: ["ticket"])


def test_pairs_that_share_a_question_are_one_group(tmp_path: Path) -> None:
    """Also over a third question."""
    rows = [{"a": a, "b": b, "label": 1} for a, b in (("1", "2"), ("3", "4"), ("2", "5"), ("6", "4"))]
    with gzip.open(tmp_path / "some.jsonl.gz", "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    one, two, three, four = (pair.group for pair in read_pairs(tmp_path, "some"))
    assert one == three != two == four


def test_data_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With where they are to be had."""
    with pytest.raises(DataError, match=r"some\.jsonl"):
        read_questions(tmp_path, "some", "intent")
    assert main([]) == 2
    assert "CC-BY" in capsys.readouterr().err
