"""Training on rows written for the test: it learns, it is reproducible, and it says where rows are to be had."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from agentplatform.llm.routing.complexity import ComplexityScorer, RoutingInput
from agentplatform.llm.routing.data import DataError, read_training_rows
from agentplatform.llm.routing.learned import SHIPPED, Learned, WordTable, load_learned
from agentplatform.llm.routing.training import learn, main
from agentplatform.llm.routing.trees import Growth, grow

SMALL = Growth(trees=12, smallest_leaf=5, features_per_split=40)
EASY = "Which colour has a ripe {0} number {1}?\nA. red\nB. blue\nC. green\nD. grey\nAnswer:"
HARD = "Which homomorphism of the ring {0} modulo {1} is NOT injective?\nA. f(x)=x\nB. f(x)=0\nC. f(x)=2x\nD. f(x)=-x\nAnswer:"


def _write(folder: Path, name: str, rows: Sequence[Mapping[str, object]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows in which weak models fail what is formal and has more numbers."""
    chance = random.Random(3)
    target = tmp_path_factory.mktemp("rows")
    choices, problems, pro = [], [], []
    for place in range(150):
        is_hard = place % 2
        prompt = (HARD if is_hard else EASY).format(chance.choice(["apple", "pear", "Z", "plum"]), place)
        choices.append({"prompt": prompt, "domain": f"d{place % 5}", "weak": 1 - is_hard, "strong": 1})
        problem = f"Tom has {place} apples and eats {is_hard + 1}." + " He then buys 3 times 4 pears." * (
            3 * is_hard
        )
        problems.append({"prompt": problem, "weak": 1 - is_hard, "strong": 1})
        models = dict.fromkeys(("small", "mistral7b", "mixtral", "phi3", "command_r"), 1 - is_hard)
        models |= dict.fromkeys(("llama70b", "flash", "pro"), 1)
        pro.append({"prompt": f"In detail: {prompt}", "category": "c", "src": "ori_mmlu-d1", **models})
    for name, rows in (("routellm_mmlu", choices), ("routellm_gsm8k", problems), ("mmlu_pro_8models", pro)):
        _write(target, name, rows)
    return target


@pytest.fixture(scope="module")
def words() -> WordTable:
    return load_learned(SHIPPED).words


@pytest.fixture(scope="module")
def learned(folder: Path, words: WordTable) -> Learned:
    return learn(read_training_rows(folder), words, SMALL)


def test_training_puts_what_weak_models_fail_above_what_they_answer(learned: Learned) -> None:
    """On new rows of the same making, which are familiar: what is seen is what was learned, not the rules."""
    scorer = ComplexityScorer(learned)
    easy = [scorer.score(RoutingInput(EASY.format("apple", place))) for place in range(31, 51, 2)]
    hard = [scorer.score(RoutingInput(HARD.format("apple", place))) for place in range(30, 50, 2)]
    assert all(found.is_familiar for found in [*easy, *hard])
    assert min(found.value for found in hard) > max(found.value for found in easy) + 0.3


def test_the_same_rows_make_the_same_bytes(
    folder: Path, words: WordTable, learned: Learned, tmp_path: Path
) -> None:
    """Trained and written twice, and once more from what was read back."""
    again = learn(read_training_rows(folder), words, SMALL)
    paths = [tmp_path / f"{name}.npz" for name in ("first", "second", "third")]
    learned.save(paths[0])
    again.save(paths[1])
    load_learned(paths[0]).save(paths[2])
    first, second, third = (path.read_bytes() for path in paths)
    assert first == second == third


def test_a_row_alone_is_judged_as_among_others() -> None:
    """Walking all trees for one row and one tree for all rows comes to the same value."""
    random_rows = np.random.default_rng(5)
    rows = random_rows.random((300, 8), dtype=np.float32)
    targets = np.stack([rows[:, 0] > 0.5, rows[:, 1]], axis=1).astype(np.float32)
    value = np.array([1, 1], dtype=np.float32)
    forest, unseen = grow(rows, targets, np.ones(300, np.float32), value, Growth(20, 5, 4))
    together = forest.predict(rows)
    assert [forest.predict_one(row) for row in rows] == pytest.approx(together.tolist(), abs=1e-5)
    assert np.corrcoef(together, targets @ value)[0, 1] > 0.9
    assert len(unseen) == 300


def test_without_data_it_names_the_sources(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, the addresses of the rows and their licences."""
    assert main([""]) == 2
    said = capsys.readouterr().err
    assert "https://github.com/lm-sys/RouteLLM" in said
    assert "https://github.com/TIGER-AI-Lab/MMLU-Pro" in said
    assert "Apache-2.0" in said


def test_a_folder_without_the_rows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file and one that lacks a field are named; the shipped file stays."""
    before = SHIPPED.read_bytes()
    assert main([str(tmp_path)]) == 2
    assert "routellm_mmlu.jsonl.gz" in capsys.readouterr().err
    _write(tmp_path, "routellm_mmlu", [{"prompt": "x", "domain": "d"}])
    with pytest.raises(DataError, match="weak"):
        read_training_rows(tmp_path)
    assert SHIPPED.read_bytes() == before
