"""`make train-router DATA=<folder>`: learns the scorer from public rows and writes the file that ships.

Needs the embedder's packages beside numpy: the vectors of word pieces are those of its model (Apache-2.0). All seeds are
fixed: the same rows make the same bytes on the same kind of machine.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agentplatform.llm.routing.data import KINDS, SOURCES, DataError, Row, read_training_rows
from agentplatform.llm.routing.fallback import difficulty_by_rules
from agentplatform.llm.routing.familiarity import form_of, learn_familiarity
from agentplatform.llm.routing.learned import SHIPPED, Learned, WordTable, feature_rows
from agentplatform.llm.routing.linear import learn_linear
from agentplatform.llm.routing.structure import feature_names, take_apart
from agentplatform.llm.routing.trees import Growth, grow
from agentplatform.llm.routing.words import WordVectors

DIMENSIONS = 32
WEIGHT_OF_KIND = {"mmlu": 1.0, "gsm8k": 2.0, "mmlu_pro": 1.0}
GAIN = np.array([-1.0, 1.0], dtype=np.float32)
"""A leaf's value: the share of right answers of strong models less that of weak ones."""
Floats = npt.NDArray[np.float32]


def main(arguments: Sequence[str]) -> int:
    """Trains from the folder that is named and writes the second argument, or the file that ships."""
    folder = Path(arguments[0]) if arguments and arguments[0] else None
    target = Path(arguments[1]) if len(arguments) > 1 else SHIPPED
    if folder is None:
        sys.stderr.write(f"make train-router: no DATA was named.\n{SOURCES}\n")
        return 2
    started = time.monotonic()
    try:
        rows = read_training_rows(folder)
    except DataError as error:
        sys.stderr.write(f"make train-router: {error}\n{SOURCES}\n")
        return 2
    learn(rows, learn_words([row.prompt for row in rows])).save(target)
    counted = Counter(row.kind for row in rows)
    said = ", ".join(f"{counted[kind]} of {kind}" for kind in KINDS)
    seconds = time.monotonic() - started
    sys.stdout.write(f"{target}: {target.stat().st_size:,} bytes from {said}, in {seconds:.0f} s.\n")
    return 0


def learn_words(texts: Sequence[str], dimensions: int = DIMENSIONS) -> WordTable:
    """The vectors of the model's word pieces, reduced, and their weights from how many of the texts have them."""
    pieces, vectors = _vectors_of_pieces()
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    reduced = (centred @ directions[:, ::-1][:, :dimensions].astype(np.float32)).astype(np.float32)
    scale = np.float32(np.abs(reduced).max() / 127)
    unweighted = WordVectors(pieces, reduced, np.ones(len(pieces), dtype=np.float32))
    having = Counter(place for text in texts for place in set(unweighted.places(text)))
    weights = [math.log1p(len(texts) / (1 + having[place])) for place in range(len(pieces))]
    return WordTable(
        pieces=np.frombuffer("\n".join(pieces).encode(), dtype=np.uint8),
        vectors=np.round(reduced / scale).astype(np.int8),
        scale=np.array([scale], dtype=np.float32),
        weights=np.array(weights, dtype=np.float16),
    )


def _vectors_of_pieces() -> tuple[list[str], Floats]:
    """The vocabulary of the embedder's model, the most frequent first, and the vector of each piece alone."""
    from agentplatform.embedding.model import EmbeddingModel

    model = EmbeddingModel(threads=1)
    pieces = [piece for piece in model.vocabulary() if not piece.startswith("[") and piece.isascii()]
    batches = [
        model.embed(model.tokenize([piece.removeprefix("##") for piece in pieces[start : start + 64]]))
        for start in range(0, len(pieces), 64)
    ]
    return pieces, np.concatenate(batches)


def learn(rows: Sequence[Row], words: WordTable, growth: Growth | None = None) -> Learned:
    """Learns trees, their quantiles and their home from rows."""
    features = feature_rows([row.prompt for row in rows], words.opened())
    return learn_from_features(rows, features, words, growth or Growth())


def learn_from_features(rows: Sequence[Row], features: Floats, words: WordTable, growth: Growth) -> Learned:
    """As `learn`, with the features already computed: cross-validation needs them many times."""
    targets = np.array([(row.weak, row.strong) for row in rows], dtype=np.float32)
    weights = np.array([WEIGHT_OF_KIND.get(row.kind, 1.0) for row in rows], dtype=np.float32)
    forest, unseen = grow(features, targets, weights, GAIN, growth)
    taken_apart = [take_apart(row.prompt) for row in rows]
    forms = [form_of(parts) for parts in taken_apart]
    familiarity = learn_familiarity(features, forms)
    linear = learn_linear(features, targets @ GAIN, forms, familiarity, len(feature_names()))
    names = feature_names()
    by_rules = [
        difficulty_by_rules(parts, dict(zip(names, row.tolist(), strict=False)))[0]
        for parts, row in zip(taken_apart, features, strict=True)
    ]
    gains = [
        linear.blend(float(said), familiarity.standard(row[None, :], form)[0], ruled, form)
        for said, row, ruled, form in zip(unseen, features, by_rules, forms, strict=True)
        if not math.isnan(said)
    ]
    return Learned(
        words=words,
        forest=forest,
        familiarity=familiarity,
        linear=linear,
        quantiles=np.quantile(gains, np.linspace(0, 1, 101)).astype(np.float32),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
