"""The probability that one answer serves two questions: a logistic regression whose signs are fixed, in one small file.

Read without pickle. The file holds the table of words too, since what was learned belongs to that table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from agentplatform.llm.caching.pair_features import SIGNS, Floats, feature_names
from agentplatform.llm.caching.vocabulary import Vocabulary

SHIPPED = Path(__file__).with_name("pair_scorer.npz")
FORMAT = 1
_PENALTY = 1.0
_STEPS = 50
Doubles = npt.NDArray[np.float64]


class ScorerFileError(RuntimeError):
    """The file of the scorer is missing, broken, or made for other features than these."""


@dataclass(frozen=True, slots=True)
class Regression:
    """Log-odds as a weighted sum of features; `bias` when all of them are 0."""

    coefficients: Doubles
    bias: float

    def probability(self, row: Floats) -> float:
        """Of one pair."""
        odds = float(row @ self.coefficients) + self.bias
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, odds))))

    def probabilities(self, rows: Floats) -> Doubles:
        """Of several pairs, a row each."""
        odds: Doubles = rows.astype(np.float64) @ self.coefficients + self.bias
        return 1 / (1 + np.exp(-np.clip(odds, -50, 50)))


def learn_regression(rows: Floats, labels: Doubles, weights: Doubles) -> Regression:
    """Fits by Newton's method; a feature whose coefficient has a sign that SIGNS forbids is left out, one after another."""
    mean = np.average(rows, axis=0, weights=weights)
    spread = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weights)) + 1e-6
    standard = np.c_[(rows - mean) / spread, np.ones(len(rows))].astype(np.float64)
    signs = np.array([*SIGNS.values(), 0])
    used = np.ones(len(signs), dtype=bool)
    while True:
        found = np.zeros(len(signs))
        found[used] = _newton(standard[:, used], labels, weights / weights.mean())
        wrong = np.where(found * signs < 0, np.abs(found), 0)
        if not wrong.any():
            break
        used[int(wrong.argmax())] = False
    coefficients = found[:-1] / spread
    return Regression(coefficients, float(found[-1] - coefficients @ mean))


def _newton(rows: Doubles, labels: Doubles, weights: Doubles) -> Doubles:
    penalty = np.full(rows.shape[1], _PENALTY)
    penalty[-1] = 1e-6
    found = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        said = 1 / (1 + np.exp(-np.clip(rows @ found, -30, 30)))
        slope = rows.T @ (weights * (said - labels)) + penalty * found
        bend = (rows * (weights * said * (1 - said))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        found -= step
        if np.abs(step).max() < 1e-8:
            break
    return found


@dataclass(frozen=True, slots=True)
class WordTable:
    """Words joined by line ends, the most frequent first, and int8 vectors with the scale they are to be multiplied by."""

    words: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.int8]
    scale: Floats

    def opened(self) -> Vocabulary:
        """The table as it is used."""
        return Vocabulary(bytes(self.words).decode().split("\n"), self.vectors, float(self.scale[0]))


def save(path: Path, words: WordTable, regression: Regression) -> None:
    """Writes the file; the same content makes the same bytes."""
    np.savez_compressed(
        path,
        format=np.array(FORMAT),
        features=np.frombuffer("\n".join(feature_names()).encode(), dtype=np.uint8),
        words=words.words,
        vectors=words.vectors,
        scale=words.scale,
        coefficients=regression.coefficients,
        bias=np.array(regression.bias),
        allow_pickle=False,
    )


def load(path: Path = SHIPPED) -> tuple[WordTable, Regression]:
    """Reads a file that `save` has written. Raises ScorerFileError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            is_ours = int(stored["format"]) == FORMAT
            names = bytes(stored["features"]).decode().split("\n")
            words = WordTable(stored["words"], stored["vectors"], stored["scale"])
            regression = Regression(stored["coefficients"], float(stored["bias"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise ScorerFileError(
            f"{path} cannot be read ({error}): train it anew with make train-cache."
        ) from error
    if not is_ours or names != list(feature_names()):
        raise ScorerFileError(f"{path} was made for other features: train it anew with make train-cache.")
    return words, regression
