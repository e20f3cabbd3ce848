"""Rows to learn from and to measure on: pairs of questions with a label, and questions with an intent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = """The rows are public. Put these gzipped JSON-lines files into one folder and name it with DATA=:
  trap_pairs.jsonl.gz     a, b, label, cat  near-duplicate questions of fow-cache              CC-BY-4.0
  banking77.jsonl.gz      text, category    https://huggingface.co/datasets/PolyAI/banking77   CC-BY-4.0
  clinc150.jsonl.gz       text, intent      https://github.com/clinc/oos-eval                  CC-BY-3.0
Only to be measured on, never learned from, since their licences do not allow it or are not stated:
  qqp_pairs.jsonl.gz      a, b, label       Quora's question pairs, by https://github.com/zilliztech/GPTCache
  medical_pairs.jsonl.gz  a, b, label       medical questions, paired by doctors"""


class DataError(ValueError):
    """The data are not where they were said to be, or not of the form that is asked for."""


@dataclass(frozen=True, slots=True)
class Pair:
    """`label`: 1 where one answer serves both. `group`: pairs of one group are never learned from to judge each other."""

    a: str
    b: str
    label: int
    group: str
    kind: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what it is after."""

    text: str
    intent: str


def read_pairs(folder: Path, name: str) -> list[Pair]:
    """Pairs of `name`.jsonl.gz; those that share a question are one group. Raises DataError."""
    raws = _lines(folder, name)
    groups = _Groups()
    try:
        for raw in raws:
            groups.join(raw["a"], raw["b"])
        return [
            Pair(
                raw["a"],
                raw["b"],
                int(raw["label"]),
                f"{name} {groups.of(raw['a'])}",
                str(raw.get("cat", name)),
            )
            for raw in raws
        ]
    except (KeyError, TypeError) as error:
        raise DataError(f"{name} lacks a field: {error}.") from error


def read_questions(folder: Path, name: str, field: str) -> list[Question]:
    """Questions of `name`.jsonl.gz whose intent is in `field`. Raises DataError."""
    try:
        return [Question(raw["text"], f"{name} {raw[field]}") for raw in _lines(folder, name)]
    except (KeyError, TypeError) as error:
        raise DataError(f"{name} lacks a field: {error}.") from error


def _lines(folder: Path, name: str) -> list[Mapping[str, Any]]:
    for path in (folder / f"{name}.jsonl.gz", folder / "cache" / f"{name}.jsonl.gz"):
        if path.is_file():
            break
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


class _Groups:
    """Texts that are joined, directly or over others, have one name."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, text: str) -> str:
        while (above := self._above.setdefault(text, text)) != text:
            text = above
        return text

    def join(self, one: str, other: str) -> None:
        self._above[self.of(other)] = self.of(one)
