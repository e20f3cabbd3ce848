"""Learning from pairs, and the file of what was learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentplatform.llm.caching.pair_features import SIGNS, feature_names
from agentplatform.llm.caching.pair_scorer import ScorerFileError, learn_regression, load, save

RANDOM = np.random.default_rng(3)


def test_a_sign_that_makes_no_sense_is_not_learned() -> None:
    """Rows in which the label rises with the words left over, and with the similarity."""
    rows = RANDOM.random((2_000, len(SIGNS)), dtype=np.float32)
    similarity, left = feature_names().index("similarity"), feature_names().index("unrelated_left")
    odds = 6 * rows[:, similarity] + 2 * rows[:, left] - 4
    labels = (RANDOM.random(2_000) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    learned = learn_regression(rows, labels, np.ones(2_000))
    assert learned.coefficients[similarity] == pytest.approx(6, abs=1)
    assert learned.coefficients[left] == 0
    assert abs(learned.probabilities(rows).mean() - labels.mean()) < 0.01
    assert learned.probability(rows[0]) == pytest.approx(learned.probabilities(rows)[0])


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    """With the shipped file as the example, and the same bytes each time."""
    words, regression = load()
    save(tmp_path / "one.npz", words, regression)
    save(tmp_path / "other.npz", *load(tmp_path / "one.npz"))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_a_file_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """Missing, broken, or for other features."""
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK no")
    other = tmp_path / "other.npz"
    np.savez(other, format=np.array(1))
    for path in (tmp_path / "none.npz", broken, other):
        with pytest.raises(ScorerFileError, match="make train-cache"):
            load(path)


def test_what_is_shipped_obeys_the_signs() -> None:
    """Similarity never speaks against, and nothing left over speaks for."""
    signs = np.array(list(SIGNS.values()))
    assert (load()[1].coefficients * signs >= 0).all()
