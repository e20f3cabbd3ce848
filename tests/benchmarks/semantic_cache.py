"""`make bench-cache DATA=<folder>`: cosine alone and the verified layer side by side, on rows it has not been trained on.

Every regression of 'verified' on traps and streams is trained without the group it judges: five folds over the groups of
all pairs, where a group is an intent, the traps that share a question, or a line of the written pairs, each with all that
was made from it. The rows of two sets (qqp, medical) are never trained on: there the shipped file judges.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from agentplatform.llm.caching.pair_scorer import Regression, learn_regression, load
from agentplatform.llm.caching.rows import SOURCES, DataError, Pair, Question, read_pairs, read_questions
from agentplatform.llm.caching.training import Rows, Vectors, gather, learn_words
from agentplatform.llm.caching.verifying import (
    CANDIDATE_SIMILARITY,
    DEFAULT_THRESHOLD,
    FLOOR_THRESHOLD,
    PairVerifier,
)

RESULTS = Path("benchmarks/semantic_cache.json")
FOLDS = 5
SEED = 11
COSINE = 0.95
CANDIDATES = 5
QQP_PAIRS = 5_000
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Share:
    """A share of cases with its 95% interval."""

    count: int
    of: int

    def interval(self) -> tuple[float, float]:
        """By Wilson's method (E. Wilson, Probable Inference, 1927)."""
        if not self.of:
            return 0.0, 1.0
        z, share = 1.96, self.count / self.of
        middle = (share + z * z / (2 * self.of)) / (1 + z * z / self.of)
        half = z * (share * (1 - share) / self.of + z * z / (4 * self.of**2)) ** 0.5 / (1 + z * z / self.of)
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        if not self.of:
            return "–"
        low, high = self.interval()
        return rf"{100 * self.count / self.of:.2f}% \[{100 * low:.2f}–{100 * high:.2f}]"


@dataclass(frozen=True, slots=True)
class OnPairs:
    """What a rule serves of labelled pairs. `recall`: of those that may be served; `wrong`: of those that may not."""

    on: str
    rule: str
    n: int
    precision: Share
    recall: Share
    wrong: Share


@dataclass(frozen=True, slots=True)
class OnStream:
    """Questions one after another, each stored when it was not served. `wrong`: served with another's intent."""

    on: str
    rule: str
    n: int
    hits: Share
    wrong: Share


def on_pairs(on: str, rule: str, served: Flags, labels: Doubles) -> OnPairs:
    """Counts what is served."""
    right = labels == 1
    good, bad = int((served & right).sum()), int((served & ~right).sum())
    return OnPairs(
        on,
        rule,
        len(labels),
        Share(good, good + bad),
        Share(good, int(right.sum())),
        Share(bad, int((~right).sum())),
    )


def best_point(on: str, rule: str, scores: Doubles, labels: Doubles, precision: float) -> OnPairs:
    """Where most is served at a precision, chosen on the very rows: a limit, not a promise."""
    order = np.argsort(-scores, kind="stable")
    reached = np.cumsum(labels[order]) / np.arange(1, len(order) + 1)
    # Only places where the score falls: equal scores are served together.
    falls = np.append(scores[order][1:] < scores[order][:-1], True)
    enough = np.flatnonzero((reached >= precision) & falls & (scores[order] > 0))
    threshold = scores[order][enough[-1]] if len(enough) else np.inf
    return on_pairs(on, f"{rule}, best point for {precision} ({threshold:.4f})", scores >= threshold, labels)


class Folds:
    """Regressions that were each trained without one fold of the groups."""

    def __init__(self, rows: Rows) -> None:
        names = sorted(set(rows.groups.tolist()))
        Random(SEED).shuffle(names)
        self._fold_of = {name: place % FOLDS for place, name in enumerate(names)}
        folds = np.array([self._fold_of[group] for group in rows.groups])
        self.regressions = [rows.learn(folds != fold) for fold in range(FOLDS)]

    def fold_of(self, group: str) -> int:
        """The fold that was left out for a group."""
        return self._fold_of.get(group, 0)


def scores_of(rows: Rows, regression_of: Callable[[int], Regression]) -> Doubles:
    """The probability of each pair, 0 where it is vetoed."""
    scores = np.array([regression_of(place).probability(row) for place, row in enumerate(rows.features)])
    return np.where(rows.is_vetoed, 0.0, scores)


def trained_per_domain(rows: Rows) -> Doubles:
    """Scores of regressions trained on other rows of the same set: what an operator's own labels would give."""
    folds = np.random.default_rng(SEED).permutation(len(rows.labels)) % FOLDS
    scores = np.zeros(len(rows.labels))
    for fold in range(FOLDS):
        learned, judged = (folds != fold) & ~rows.is_vetoed, (folds == fold) & ~rows.is_vetoed
        regression = learn_regression(
            rows.features[learned], rows.labels[learned], np.ones(int(learned.sum()))
        )
        scores[judged] = regression.probabilities(rows.features[judged])
    return scores


class Stream:
    """Questions in a random order, looked up among those stored before."""

    def __init__(self, name: str, questions: Sequence[Question], vectors: Vectors) -> None:
        self.name = name
        self.questions = list(questions)
        Random(SEED).shuffle(self.questions)
        self._rows = vectors.of([question.text for question in self.questions])

    def run(
        self, rule: str, serves: Callable[[Question, Sequence[tuple[Question, float]]], Question | None]
    ) -> OnStream:
        """`serves` gets the nearest stored questions and returns the one whose answer it would serve."""
        stored = np.zeros_like(self._rows)
        asked: list[Question] = []
        hits = wrong = 0
        for question, row in zip(self.questions, self._rows, strict=True):
            near = stored[: len(asked)] @ row
            nearest = (
                np.argpartition(-near, CANDIDATES)[:CANDIDATES]
                if len(near) > CANDIDATES
                else np.arange(len(near))
            )
            nearest = nearest[np.argsort(-near[nearest])]
            found = serves(question, [(asked[place], float(near[place])) for place in nearest])
            if found is None:
                stored[len(asked)] = row
                asked.append(question)
                continue
            hits += 1
            wrong += found.intent != question.intent
        n = len(self.questions)
        return OnStream(self.name, rule, n, Share(hits, n), Share(wrong, n))


def by_cosine(_: Question, candidates: Sequence[tuple[Question, float]]) -> Question | None:
    """The nearest one, when it is near enough."""
    return candidates[0][0] if candidates and candidates[0][1] >= COSINE else None


def by_verifier(
    verifier_of: Callable[[Question], PairVerifier],
) -> Callable[[Question, Sequence[tuple[Question, float]]], Question | None]:
    """The most probable one, when it is probable enough."""

    def serves(question: Question, candidates: Sequence[tuple[Question, float]]) -> Question | None:
        verifier, best, found = verifier_of(question), 0.0, None
        for candidate, similarity in candidates:
            if similarity < CANDIDATE_SIMILARITY:
                break
            verdict = verifier.judge(question.text, candidate.text, similarity)
            if verdict.serves() and verdict.probability > best:
                best, found = verdict.probability, candidate
        return found

    return serves


def measure_pairs(folder: Path, vectors: Vectors, folds: Folds) -> list[OnPairs]:
    """The three sets of labelled pairs, and each kind of trap."""
    table, shipped = load()
    vocabulary = table.opened()
    lines = []
    for on, name, precision, most in (
        ("traps, out of fold", "trap_pairs", 0.98, None),
        ("qqp, never trained on", "qqp_pairs", 0.93, QQP_PAIRS),
        ("medical, never trained on", "medical_pairs", 0.98, None),
    ):
        pairs = read_pairs(folder, name)
        pairs = Random(SEED).sample(pairs, most) if most else pairs
        rows = Rows(pairs, vectors, vocabulary)
        is_in_folds = name == "trap_pairs"
        scores = scores_of(rows, _regression_for(pairs, folds, shipped, is_in_folds))
        similarities = rows.features[:, 0].astype(np.float64)
        lines.append(on_pairs(on, f"cosine ≥ {COSINE}", similarities >= COSINE, rows.labels))
        lines.append(on_pairs(on, "verified, default threshold", scores >= DEFAULT_THRESHOLD, rows.labels))
        lines.append(on_pairs(on, "verified, floor threshold", scores >= FLOOR_THRESHOLD, rows.labels))
        lines.append(best_point(on, "cosine", similarities, rows.labels, precision))
        lines.append(best_point(on, "verified", scores, rows.labels, precision))
        if is_in_folds:
            lines.extend(_by_kind(pairs, scores, similarities, rows.labels))
        else:
            lines.append(
                best_point(
                    on, "trained per domain (not shipped)", trained_per_domain(rows), rows.labels, precision
                )
            )
    return lines


def _regression_for(
    pairs: Sequence[Pair], folds: Folds, shipped: Regression, is_in_folds: bool
) -> Callable[[int], Regression]:
    return lambda place: folds.regressions[folds.fold_of(pairs[place].group)] if is_in_folds else shipped


def _by_kind(pairs: Sequence[Pair], scores: Doubles, similarities: Doubles, labels: Doubles) -> list[OnPairs]:
    lines = []
    for kind in sorted({pair.kind for pair in pairs}):
        own = np.array([pair.kind == kind for pair in pairs])
        lines.append(on_pairs(f"  {kind}", f"cosine ≥ {COSINE}", similarities[own] >= COSINE, labels[own]))
        lines.append(on_pairs(f"  {kind}", "verified", scores[own] >= DEFAULT_THRESHOLD, labels[own]))
    return lines


def measure_streams(folder: Path, vectors: Vectors, folds: Folds) -> list[OnStream]:
    """Both sets of questions with an intent; each question is judged by what has not learned from its intent."""
    vocabulary = load()[0].opened()
    verifiers = [PairVerifier(vocabulary, regression) for regression in folds.regressions]
    lines = []
    for name, field in (("banking77", "category"), ("clinc150", "intent")):
        stream = Stream(name, read_questions(folder, name, field), vectors)
        lines.append(stream.run(f"cosine ≥ {COSINE}", by_cosine))
        verified = by_verifier(lambda question: verifiers[folds.fold_of(question.intent)])
        lines.append(stream.run("verified, out of fold", verified))
    return lines


def speed(folder: Path) -> tuple[float, float]:
    """CPU milliseconds of a judgement at p50 and p95, over pairs of all three sets."""
    verifier, taken = PairVerifier.load(), []
    for name in ("trap_pairs", "medical_pairs", "qqp_pairs"):
        for pair in read_pairs(folder, name)[:400]:
            started = time.thread_time()
            verifier.judge(pair.a, pair.b, 0.9)
            taken.append(1_000 * (time.thread_time() - started))
    return float(np.quantile(taken, 0.5)), float(np.quantile(taken, 0.95))


def _table(title: str, columns: Sequence[str], lines: Sequence[Sequence[object]]) -> Table:
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 else "right")
    for line in lines:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line))
    return table


def main(arguments: Sequence[str]) -> int:
    """Measures, prints the tables and writes RESULTS; returns the exit status."""
    if not arguments or not arguments[0]:
        sys.stderr.write(f"make bench-cache: no DATA was named.\n{SOURCES}\n")
        return 2
    folder, started, console = Path(arguments[0]), time.monotonic(), Console(width=170)
    vectors = Vectors()
    table, related = learn_words(vectors)
    try:
        rows = Rows(gather(folder, vectors, related), vectors, table.opened())
        folds = Folds(rows)
        pairs, streams = measure_pairs(folder, vectors, folds), measure_streams(folder, vectors, folds)
        middle, slow = speed(folder)
    except DataError as error:
        sys.stderr.write(f"make bench-cache: {error}\n{SOURCES}\n")
        return 2
    console.print(
        _table(
            f"Labelled pairs; default threshold {DEFAULT_THRESHOLD}, floor {FLOOR_THRESHOLD}; qqp: {QQP_PAIRS:,} of its pairs, drawn with seed {SEED}",
            ("on", "rule", "n", "precision", "recall (rightly served)", "wrongly served"),
            [(line.on, line.rule, line.n, line.precision, line.recall, line.wrong) for line in pairs],
        )
    )
    console.print(
        _table(
            f"Streams with insert on miss, the {CANDIDATES} nearest stored questions looked at, order drawn with seed {SEED}",
            ("on", "rule", "n", "hits", "wrong"),
            [(line.on, line.rule, line.n, line.hits, line.wrong) for line in streams],
        )
    )
    console.print(
        f"A judgement takes {middle:.2f} ms of one core at p50, {slow:.2f} ms at p95, without the vectors"
    )
    console.print(f"{time.monotonic() - started:.0f} s in all")
    RESULTS.parent.mkdir(exist_ok=True)
    lines = [asdict(line) for line in (*pairs, *streams)]
    RESULTS.write_text(json.dumps({"lines": lines, "ms": [middle, slow]}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
