"""`make bench-routing DATA=<folder>`: what the order of the scorer is worth, on rows that it has not been trained on.

Every figure of 'trained in folds' is of whole scorers (trees, familiarity, rules) trained without the rows they score:
five folds in which equal questions stay together over all kinds of rows, and five folds of subjects or categories,
where rows of a subject are left out of every kind; and once for each kind, which is left out
as a whole. The word vectors are the shipped ones; they have seen no answers.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from agentplatform.llm.routing.complexity import ComplexityScorer, RoutingInput
from agentplatform.llm.routing.data import KINDS, SOURCES, DataError, Row, read_lines, read_training_rows
from agentplatform.llm.routing.learned import feature_rows, load_learned
from agentplatform.llm.routing.metrics import (
    quantile_of,
    saved_by_blind_mix,
    saved_with_tiers,
    thresholds_for_tiers,
    two_models,
)
from agentplatform.llm.routing.training import learn_from_features
from agentplatform.llm.routing.trees import Growth

RESULTS = Path("benchmarks/routing.json")
FOLDS = 5
SEED = 11
RESAMPLES = 400
Doubles = npt.NDArray[np.float64]
PRO_TIERS, PRO_COSTS = ("small", "llama70b", "pro"), (1.0, 4.0, 20.0)
DOLLAR_TIERS = ("mistralai/mistral-7b-chat", "zero-one-ai/Yi-34B-Chat", "gpt-4-1106-preview")
PUBLISHED = (
    ("RouteLLM, its best router on GSM8K", "APGR .622"),
    ("RouteLLM, its best router on MMLU with 1,500 labels", "APGR .603"),
    ("LLMRouterBench, best saving at the best single model's accuracy", "31.7%"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of a table: a figure of a router on some rows, with its 95% interval."""

    on: str
    router: str
    n: int
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]


class Bench:
    """The rows with their features, and scores of routers for them."""

    def __init__(self, folder: Path) -> None:
        """Raises DataError."""
        self.rows = [*read_training_rows(folder), *_dollar_rows(folder)]
        self.words = load_learned().words
        self.features = feature_rows([row.prompt for row in self.rows], self.words.opened())
        self.kinds = np.array([row.kind for row in self.rows])
        self.questions = np.array([row.question for row in self.rows])
        self.lengths = np.array([float(len(row.prompt)) for row in self.rows])
        self.is_permissive = self.kinds != "routerbench"

    def scores_in_folds(self, scored: npt.NDArray[np.bool_], groups: Sequence[str]) -> Doubles:
        """Each scored row's complexity by a scorer trained without its group and without any row of its question.

        RouterBench's rows are learned from only when they are what is scored.
        """
        folds = _folds(groups, scored)
        usable = self.is_permissive | scored
        scores = np.full(len(self.rows), np.nan)
        for fold in range(FOLDS):
            test = scored & (folds == fold)
            if not test.any():
                continue
            train = usable & (folds != fold) & ~np.isin(self.questions, self.questions[test])
            chosen = np.flatnonzero(train)
            learned = learn_from_features(
                [self.rows[place] for place in chosen], self.features[chosen], self.words, Growth()
            )
            scores[test] = self.scores_of(ComplexityScorer(learned), test)
        return scores

    def scores_of(self, scorer: ComplexityScorer, wanted: npt.NDArray[np.bool_]) -> Doubles:
        """What a scorer says of the wanted rows."""
        return np.array(
            [scorer.score(RoutingInput(self.rows[place].prompt)).value for place in np.flatnonzero(wanted)]
        )


def _dollar_rows(folder: Path) -> list[Row]:
    """RouterBench's rows that have a result and a cost of every tier: to be measured on alone."""
    rows = []
    for raw in read_lines(folder / "routerbench3_11models_cost.jsonl.gz"):
        quality, cost = _dollars(raw)
        if None in quality or None in cost:
            continue
        weak, strong = float(quality[0] + quality[1]) / 2, float(quality[2])
        rows.append(Row(raw["prompt"], "routerbench", f"routerbench {raw['eval_name']}", weak, strong, raw))
    return rows


def _dollars(raw: Any) -> tuple[list[Any], list[Any]]:
    return [raw[model] for model in DOLLAR_TIERS], [raw[f"{model}|total_cost"] for model in DOLLAR_TIERS]


def _folds(groups: Sequence[str], scored: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """A fold for each group, evenly many scored rows in each; -1, so that it is always learned from, without any."""
    names, places = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(places, weights=scored, minlength=len(names))
    drawn = np.random.default_rng(SEED).permutation(len(names))
    order = drawn[np.argsort(-sizes[drawn], kind="stable")]
    filled, fold_of = np.zeros(FOLDS), np.full(len(names), -1)
    for group in order[sizes[order] > 0]:
        fold_of[group] = int(filled.argmin())
        filled[fold_of[group]] += sizes[group]
    return fold_of[places]


def measure(
    on: str, router: str, n: int, figures_of: Callable[[npt.NDArray[np.int64]], dict[str, float]]
) -> Measured:
    """Figures of all rows, and the interval of each over bootstrap resamples of them."""
    random = np.random.default_rng(SEED)
    resampled = [figures_of(random.integers(0, n, n)) for _ in range(RESAMPLES)]
    figures = figures_of(np.arange(n))
    intervals = {
        name: (quantile_of(values, 0.025), quantile_of(values, 0.975))
        for name in figures
        for values in [[one[name] for one in resampled]]
    }
    return Measured(on, router, n, figures, intervals)


def measure_two(on: str, router: str, scores: Doubles, weak: Doubles, strong: Doubles) -> Measured:
    """Between a weak and a strong model."""

    def figures_of(drawn: npt.NDArray[np.int64]) -> dict[str, float]:
        found = two_models(scores[drawn], weak[drawn], strong[drawn])
        return {"APGR": found.apgr, "CPT50": found.cpt50, "CPT80": found.cpt80, "save": found.saved}

    return measure(on, router, len(scores), figures_of)


def measure_tiers(on: str, router: str, scores: Doubles, quality: Doubles, cost: Doubles) -> Measured:
    """Among three tiers, beside the best blind mix of the same rows."""

    def figures_of(drawn: npt.NDArray[np.int64]) -> dict[str, float]:
        saved = saved_with_tiers(scores[drawn], quality[drawn], cost[drawn])
        blind = saved_by_blind_mix(quality[drawn], cost[drawn])
        return {"save": saved, "blind mix": blind, "over it": saved - blind}

    return measure(on, router, len(scores), figures_of)


def thresholds_from_elsewhere(scores: Doubles, quality: Doubles, cost: Doubles) -> tuple[float, float]:
    """With thresholds chosen on other rows: the share of cost saved, and the share of the top quality kept."""
    folds = np.random.default_rng(SEED).permutation(len(scores)) % FOLDS
    paid = got = 0.0
    for fold in range(FOLDS):
        test = folds == fold
        low, high = thresholds_for_tiers(scores[~test], quality[~test], cost[~test])
        tier = np.where(scores[test] <= low, 0, np.where(scores[test] <= high, 1, 2))
        places = np.arange(len(tier))
        paid += float(cost[test][places, tier].sum())
        got += float(quality[test][places, tier].sum())
    return 1 - paid / float(cost[:, 2].sum()), got / float(quality[:, 2].sum())


def _two_model_lines(bench: Bench, in_folds: Doubles) -> list[Measured]:
    found = []
    unseen = bench.scores_in_folds(bench.kinds == "mmlu", [row.domain for row in bench.rows])
    for on, kind, ours in (
        ("MMLU, five folds", "mmlu", in_folds),
        ("MMLU, unseen subjects", "mmlu", unseen),
        ("GSM8K, five folds", "gsm8k", in_folds),
    ):
        own = bench.kinds == kind
        weak, strong = (
            np.array([getattr(row, side) for row in bench.rows if row.kind == kind])
            for side in ("weak", "strong")
        )
        for router, scores in (
            ("random", np.random.default_rng(SEED).random(int(own.sum()))),
            ("blind mix", np.zeros(int(own.sum()))),
            ("prompt length", bench.lengths[own]),
            ("this scorer, trained in folds", ours[own]),
            ("oracle", strong - weak),
        ):
            found.append(measure_two(on, router, scores, weak, strong))
    return found


def _tier_lines(
    bench: Bench, in_folds: Doubles, shipped: ComplexityScorer
) -> tuple[list[Measured], list[str]]:
    pro, dollars = bench.kinds == "mmlu_pro", bench.kinds == "routerbench"
    categories = _categories(bench.rows)
    unseen = bench.scores_in_folds(pro, categories)
    on_pro = [row.raw for row in bench.rows if row.kind == "mmlu_pro"]
    quality = np.array([[raw[model] for model in PRO_TIERS] for raw in on_pro], dtype=np.float64)
    cost = np.tile(PRO_COSTS, (len(on_pro), 1))
    own = [_dollars(row.raw) for row in bench.rows if row.kind == "routerbench"]
    dollar_quality, dollar_cost = (
        np.array([pair[side] for pair in own], dtype=np.float64) for side in (0, 1)
    )
    learned = bench.scores_in_folds(dollars, bench.questions.tolist())
    lines, notes = [], []
    for on, router, scores, qualities, costs in (
        ("MMLU-Pro 1:4:20", "prompt length", bench.lengths[pro], quality, cost),
        ("MMLU-Pro 1:4:20", "this scorer, trained in folds", in_folds[pro], quality, cost),
        ("MMLU-Pro, unseen categories", "this scorer, trained in folds", unseen[pro], quality, cost),
        ("RouterBench, dollars", "prompt length", bench.lengths[dollars], dollar_quality, dollar_cost),
        (
            "RouterBench, dollars",
            "this scorer, trained in folds",
            learned[dollars],
            dollar_quality,
            dollar_cost,
        ),
        (
            "RouterBench, dollars, unseen",
            "the shipped file",
            bench.scores_of(shipped, dollars),
            dollar_quality,
            dollar_cost,
        ),
    ):
        lines.append(measure_tiers(on, router, scores, qualities, costs))
        saved, kept = thresholds_from_elsewhere(scores, qualities, costs)
        notes.append(f"{on}, {router}: saves {saved:.1%} and keeps {kept:.1%} of the top tier's quality")
    return lines, notes


def _categories(rows: Sequence[Row]) -> list[str]:
    """The category of each row: MMLU-Pro's own, and for MMLU's rows that of their subject, where one is known."""
    of_domain = {row.domain: str(row.raw["category"]) for row in rows if row.kind == "mmlu_pro"}
    return [of_domain.get(row.domain, row.domain) for row in rows]


def _left_out_lines(bench: Bench) -> list[Measured]:
    """What a scorer is worth on a kind of rows that it has seen nothing of: trained on the two other kinds."""
    left_out = bench.scores_in_folds(bench.is_permissive, bench.kinds.tolist())
    found = []
    for kind in KINDS:
        own = bench.kinds == kind
        weak, strong = (
            np.array([getattr(row, side) for row in bench.rows if row.kind == kind])
            for side in ("weak", "strong")
        )
        for router, scores in (
            ("prompt length", bench.lengths[own]),
            ("this scorer, trained without", left_out[own]),
        ):
            found.append(measure_two(f"{kind}, left out", router, scores, weak, strong))
    return found


def _shipped_lines(bench: Bench, shipped: ComplexityScorer) -> list[Measured]:
    """What the shipped file is worth between two models on tasks that it has never seen rows of."""
    found = []
    for task in sorted({row.domain for row in bench.rows if row.kind == "routerbench"}):
        own = np.array([row.domain == task for row in bench.rows])
        chosen = [bench.rows[place] for place in np.flatnonzero(own)]
        quality = np.array([_dollars(row.raw)[0] for row in chosen], dtype=np.float64)
        for router, scores in (
            ("prompt length", bench.lengths[own]),
            ("the shipped file", bench.scores_of(shipped, own)),
        ):
            found.append(measure_two(task, router, scores, quality[:, 0], quality[:, 2]))
    return found


def _speed(bench: Bench, shipped: ComplexityScorer) -> tuple[float, float]:
    """CPU milliseconds of a request at p50 and p95, over every fourth row."""
    taken = []
    for row in bench.rows[::4]:
        started = time.thread_time()
        shipped.score(RoutingInput(row.prompt))
        taken.append(1_000 * (time.thread_time() - started))
    return quantile_of(taken, 0.5), quantile_of(taken, 0.95)


def _table(title: str, lines: Sequence[Measured]) -> Table:
    table = Table(title=title)
    figures = list(lines[0].figures)
    for column in ("on", "router", "n", *figures):
        table.add_column(column, justify="left" if column in ("on", "router") else "right")
    for line in lines:
        shown = [_figure(name, line.figures[name], line.intervals[name]) for name in figures]
        table.add_row(line.on, line.router, f"{line.n:,}", *shown)
    return table


def _figure(name: str, value: float, interval: tuple[float, float]) -> str:
    if name == "APGR":
        return f"{value:.3f} [{interval[0]:.3f}–{interval[1]:.3f}]".replace("[", r"\[")
    low, high = (f"{100 * bound:.0f}" for bound in interval)
    return rf"{100 * value:.1f} \[{low}–{high}]"


def main(arguments: Sequence[str]) -> int:
    """Measures, prints the tables and writes RESULTS; returns the exit status."""
    if not arguments or not arguments[0]:
        sys.stderr.write(f"make bench-routing: no DATA was named.\n{SOURCES}\n")
        return 2
    try:
        bench = Bench(Path(arguments[0]))
    except DataError as error:
        sys.stderr.write(f"make bench-routing: {error}\n{SOURCES}\n")
        return 2
    shipped = ComplexityScorer.load()
    in_folds = bench.scores_in_folds(
        np.isin(bench.kinds, ("mmlu", "gsm8k", "mmlu_pro")), bench.questions.tolist()
    )
    two = _two_model_lines(bench, in_folds)
    tiers, notes = _tier_lines(bench, in_folds, shipped)
    left_out = _left_out_lines(bench)
    unseen = _shipped_lines(bench, shipped)
    middle, slow = _speed(bench, shipped)
    console = Console(width=150)
    console.print(_table("Two models; save: cost saved at 95% of the strong model's accuracy, 10 : 1", two))
    console.print(_table("Three tiers; save: cost saved at 95% of the top tier's quality", tiers))
    console.print(_table("A whole kind of rows left out: trained on the two others", left_out))
    console.print(
        _table("The shipped file, weak 7B model against GPT-4, on tasks it has seen no rows of", unseen)
    )
    console.print("Thresholds chosen on other rows:", *notes, sep="\n  ")
    console.print("Published:", *(f"{name}: {figure}" for name, figure in PUBLISHED), sep="\n  ")
    console.print(f"{middle:.2f} ms of one core a request at p50, {slow:.2f} ms at p95")
    RESULTS.parent.mkdir(exist_ok=True)
    lines = [
        {
            "on": line.on,
            "router": line.router,
            "n": line.n,
            "figures": line.figures,
            "intervals": line.intervals,
        }
        for line in (*two, *tiers, *left_out, *unseen)
    ]
    RESULTS.write_text(json.dumps({"lines": lines, "notes": notes, "ms": [middle, slow]}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
