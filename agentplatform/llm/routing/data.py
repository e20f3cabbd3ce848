"""Rows to learn from and to measure on: prompts, and how well weak and strong models answered them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCES = """The rows are public. Put these gzipped JSON-lines files into one folder and name it with DATA=:
  routellm_mmlu.jsonl.gz     prompt, domain, weak, strong   https://github.com/lm-sys/RouteLLM        Apache-2.0
  routellm_gsm8k.jsonl.gz    prompt, weak, strong           https://github.com/lm-sys/RouteLLM        Apache-2.0
  mmlu_pro_8models.jsonl.gz  prompt, category, src, and small, mistral7b, mixtral, phi3, command_r, llama70b, flash, pro
                                                            https://github.com/TIGER-AI-Lab/MMLU-Pro  Apache-2.0
weak, strong and the names of models hold 1 for a right answer and 0 for a wrong one. Only to be measured on, never
learned from, since its licence is not stated:
  routerbench3_11models_cost.jsonl.gz                       https://huggingface.co/datasets/withmartian/routerbench"""

WEAK_MODELS = ("small", "mistral7b", "mixtral", "phi3", "command_r")
STRONG_MODELS = ("llama70b", "flash", "pro")
KINDS = ("mmlu", "gsm8k", "mmlu_pro")


class DataError(ValueError):
    """The data are not where they were said to be, or not of the form that is asked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt. `weak` and `strong` are shares of right answers; `raw` is the whole line."""

    prompt: str
    kind: str
    domain: str
    weak: float
    strong: float
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def question(self) -> str:
        """The words before the options: rows with the same question, of any kind, belong together."""
        return re.sub(r"\W+", " ", self.prompt.split("\nA. ")[0].lower()).strip()


def read_training_rows(folder: Path) -> list[Row]:
    """The rows of permissive licences, in the order of KINDS. Raises DataError."""
    return [
        *_rows(folder, "routellm_mmlu", lambda raw: _two_models(raw, "mmlu", raw["domain"])),
        *_rows(folder, "routellm_gsm8k", lambda raw: _two_models(raw, "gsm8k", "gsm8k")),
        *_rows(folder, "mmlu_pro_8models", _eight_models),
    ]


def _two_models(raw: Mapping[str, Any], kind: str, domain: str) -> Row:
    return Row(raw["prompt"], kind, domain, float(raw["weak"]), float(raw["strong"]), raw)


def _eight_models(raw: Mapping[str, Any]) -> Row:
    # Of the questions taken over from MMLU the source names the subject, which is then the same domain.
    domain = str(raw["src"]).removeprefix("ori_mmlu-")
    return Row(raw["prompt"], "mmlu_pro", domain, _share(raw, WEAK_MODELS), _share(raw, STRONG_MODELS), raw)


def _share(raw: Mapping[str, Any], models: Sequence[str]) -> float:
    return sum(float(raw[model]) for model in models) / len(models)


def _rows(folder: Path, name: str, as_row: Callable[[Mapping[str, Any]], Row]) -> list[Row]:
    path = folder / f"{name}.jsonl.gz"
    try:
        return [as_row(raw) for raw in read_lines(path)]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} lacks a field: {error}.") from error


def read_lines(path: Path) -> Iterable[Mapping[str, Any]]:
    """The JSON objects of a gzipped JSON-lines file. Raises DataError."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
