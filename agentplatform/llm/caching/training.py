"""`make train-cache DATA=<folder>`: learns the scorer of pairs and writes the file that ships.

Learns from public rows of permissive licences, from pairs written for it (written_pairs.txt), and from both changed on
purpose (perturbing.py). Needs the embedder's packages beside numpy. All seeds are fixed: the same rows make the same bytes
on the same kind of machine.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

from agentplatform.llm.caching.alignment import align
from agentplatform.llm.caching.lexicon import FUNCTION_WORDS, SYNONYMS
from agentplatform.llm.caching.pair_features import Floats, feature_names, features_of
from agentplatform.llm.caching.pair_scorer import SHIPPED, Regression, WordTable, learn_regression, save
from agentplatform.llm.caching.perturbing import OTHER, SAME, Perturbation, replaced
from agentplatform.llm.caching.rows import SOURCES, DataError, Pair, Question, read_pairs, read_questions
from agentplatform.llm.caching.stems import stem
from agentplatform.llm.caching.vetoes import find_veto
from agentplatform.llm.caching.vocabulary import Vocabulary
from agentplatform.llm.caching.wording import read

WRITTEN = Path(__file__).with_name("written_pairs.txt")
DIMENSIONS = 64
SEED = 2_077
NEIGHBOURS = 5
LEAST_SIMILARITY = 0.75
PAIRS_OF_INTENTS = 15_000
PERTURBED_QUESTIONS = 600
WEIGHT_OF_KIND = {
    "banking77": 1.0,
    "clinc150": 1.0,
    "written": 0.3,
    "trap": 0.3,
    "same, perturbed": 0.1,
    "other, perturbed": 0.02,
}
"""What all the pairs of a kind weigh together."""
_RUN_TOKENS = 256


class Vectors:
    """Vectors of texts, each computed once."""

    def __init__(self) -> None:
        from agentplatform.embedding.model import EmbeddingModel

        self._model = EmbeddingModel(threads=1)
        self._places: dict[str, int] = {}
        self._rows: list[Floats] = []

    def words(self) -> list[str]:
        """Whole words of the model, the most frequent first."""
        return [
            piece
            for piece in self._model.vocabulary()
            if piece.isalpha() and piece.isascii() and len(piece) > 1
        ]

    def add(self, texts: Iterable[str]) -> None:
        """Computes what is not there yet, texts of about the same length together."""
        new = sorted(set(texts) - self._places.keys())
        encodings = self._model.tokenize(new) if new else []
        order = sorted(range(len(new)), key=lambda place: -len(encodings[place].ids))
        start = 0
        while start < len(order):
            run = order[start : start + max(1, _RUN_TOKENS // len(encodings[order[start]].ids))]
            for place, row in zip(run, self._model.embed([encodings[place] for place in run]), strict=True):
                self._places[new[place]] = len(self._rows)
                self._rows.append(row)
            start += len(run)

    def of(self, texts: Sequence[str]) -> Floats:
        """A row for each text."""
        self.add(texts)
        return np.stack([self._rows[self._places[text]] for text in texts])

    def similarities(self, pairs: Sequence[Pair]) -> Floats:
        """The cosine of each pair."""
        found: Floats = (self.of([pair.a for pair in pairs]) * self.of([pair.b for pair in pairs])).sum(
            axis=1
        )
        return found


def learn_words(vectors: Vectors) -> tuple[WordTable, Callable[[str], Sequence[str]]]:
    """The table of words, reduced, and for each word those that are related but no synonyms."""
    words = vectors.words()
    rows = vectors.of(words)
    centred = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    reduced = (centred @ directions[:, ::-1][:, :DIMENSIONS].astype(np.float32)).astype(np.float32)
    scale = np.float32(np.abs(reduced).max() / 127)
    table = WordTable(
        words=np.frombuffer("\n".join(words).encode(), dtype=np.uint8),
        vectors=np.round(reduced / scale).astype(np.int8),
        scale=np.array([scale], dtype=np.float32),
    )
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    places = {word: place for place, word in enumerate(words)}

    @cache
    def related(word: str) -> tuple[str, ...]:
        if word not in places:
            return ()
        near = unit @ unit[places[word]]
        return tuple(
            words[place]
            for place in np.argsort(-near)[1:14]
            if 0.35 < near[place] < 0.8 and _is_another(words[place], word)
        )

    return table, related


def _is_another(other: str, word: str) -> bool:
    is_synonym = SYNONYMS.get(other, frozenset()) & SYNONYMS.get(word, frozenset())
    return len(other) > 3 and stem(other) != stem(word) and other not in FUNCTION_WORDS and not is_synonym


def pairs_of_intents(questions: Sequence[Question], vectors: Vectors, kind: str) -> list[Pair]:
    """Each question with its nearest others: what a cache would look at. The label is whether both are after the same."""
    rows = vectors.of([question.text for question in questions])
    found = []
    for start in range(0, len(rows), 1_000):
        near = rows[start : start + 1_000] @ rows.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -1
        nearest = np.argpartition(-near, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        for row, places in enumerate(np.sort(nearest, axis=1)):
            one = questions[start + row]
            for place in places:
                if near[row, place] >= LEAST_SIMILARITY:
                    other = questions[place]
                    found.append(
                        Pair(one.text, other.text, int(one.intent == other.intent), one.intent, kind)
                    )
    Random(SEED).shuffle(found)
    return found[:PAIRS_OF_INTENTS]


def written_pairs() -> list[Pair]:
    """Of each line every two of its first question and those marked = serve one another; those marked ! serve none."""
    found: list[Pair] = []
    for number, line in enumerate(WRITTEN.read_text().splitlines()):
        first, *marked = line.split(" | ")
        same = [first, *(part[2:] for part in marked if part.startswith("= "))]
        other = [part[2:] for part in marked if part.startswith("! ")]
        for place, a in enumerate(same):
            found.extend(Pair(a, b, 1, f"written {number}", "written") for b in same[place + 1 :])
            found.extend(Pair(a, b, 0, f"written {number}", "written") for b in other)
    return found


def perturbed_pairs(questions: Sequence[Question], related: Callable[[str], Sequence[str]]) -> list[Pair]:
    """Each question with itself changed so that it still asks the same, and so that it no longer does."""
    random = Random(SEED)
    replace = replaced(related)
    found: list[Pair] = []
    for question in questions:
        for perturbations, label, kind in (
            (SAME, 1, "same, perturbed"),
            ((*OTHER, replace, replace), 0, "other, perturbed"),
        ):
            changed = _changed(question.text, perturbations, random)
            if changed is not None and changed != question.text:
                found.append(Pair(question.text, changed, label, question.intent, kind))
    return found


def _changed(text: str, perturbations: Sequence[Perturbation], random: Random) -> str | None:
    changed = random.choice(perturbations)(text, random)
    if changed is not None and random.random() < 0.3:
        return random.choice(SAME)(changed, random) or changed
    return changed


def gather(folder: Path, vectors: Vectors, related: Callable[[str], Sequence[str]]) -> list[Pair]:
    """All pairs to learn from. Raises DataError."""
    traps = [
        Pair(pair.a, pair.b, pair.label, pair.group, "trap") for pair in read_pairs(folder, "trap_pairs")
    ]
    written = written_pairs()
    found, questions = (
        [*traps, *written],
        [Question(text, pair.group) for pair in written for text in (pair.a, pair.b)],
    )
    for name, field in (("banking77", "category"), ("clinc150", "intent")):
        rows = read_questions(folder, name, field)
        found.extend(pairs_of_intents(rows, vectors, name))
        questions.extend(Random(SEED).sample(rows, min(PERTURBED_QUESTIONS, len(rows))))
    return [*found, *perturbed_pairs(sorted(set(questions), key=lambda one: (one.intent, one.text)), related)]


class Rows:
    """Pairs with their features, and which of them can be learned from."""

    def __init__(self, pairs: Sequence[Pair], vectors: Vectors, vocabulary: Vocabulary) -> None:
        vectors.add(text for pair in pairs for text in (pair.a, pair.b))
        self.features = np.zeros((len(pairs), len(feature_names())), dtype=np.float32)
        self.is_vetoed = np.zeros(len(pairs), dtype=bool)
        for place, (pair, similarity) in enumerate(zip(pairs, vectors.similarities(pairs), strict=True)):
            one, other = read(pair.a), read(pair.b)
            alignment = align(one, other, vocabulary)
            self.is_vetoed[place] = find_veto(one, other, alignment) is not None
            self.features[place] = features_of(one, other, alignment, float(similarity))
        self.labels = np.array([pair.label for pair in pairs], dtype=np.float64)
        self.groups = np.array([pair.group for pair in pairs])
        self.kinds = np.array([pair.kind for pair in pairs])
        self.is_usable = ~self.is_vetoed & ~self._is_doubtful()

    def _is_doubtful(self) -> npt.NDArray[np.bool_]:
        """One intent does not make one answer: pairs that differ by a word alone teach nothing there, unless they differ
        in intent; and what is changed by more than one word may still ask the same."""
        names = feature_names()
        is_edit = self.features[:, [names.index("one_word_swapped"), names.index("narrowed")]].any(axis=1)
        of_intents = np.isin(self.kinds, ("banking77", "clinc150")) & (self.labels == 1) & is_edit
        doubtful: npt.NDArray[np.bool_] = of_intents | ((self.kinds == "other, perturbed") & ~is_edit)
        return doubtful

    def learn(self, chosen: npt.NDArray[np.bool_] | None = None) -> Regression:
        """From all rows that can be used, or from those chosen of them."""
        used = self.is_usable if chosen is None else self.is_usable & chosen
        counted = Counter(self.kinds[used].tolist())
        weights = np.array([WEIGHT_OF_KIND[kind] / counted[kind] for kind in self.kinds[used]])
        return learn_regression(self.features[used], self.labels[used], weights)


def main(arguments: Sequence[str]) -> int:
    """Trains from the folder that is named and writes the second argument, or the file that ships."""
    if not arguments or not arguments[0]:
        sys.stderr.write(f"make train-cache: no DATA was named.\n{SOURCES}\n")
        return 2
    target = Path(arguments[1]) if len(arguments) > 1 else SHIPPED
    started = time.monotonic()
    vectors = Vectors()
    table, related = learn_words(vectors)
    try:
        pairs = gather(Path(arguments[0]), vectors, related)
    except DataError as error:
        sys.stderr.write(f"make train-cache: {error}\n{SOURCES}\n")
        return 2
    rows = Rows(pairs, vectors, table.opened())
    regression = rows.learn()
    save(target, table, regression)
    said = ", ".join(
        f"{count} of {kind}" for kind, count in Counter(rows.kinds[rows.is_usable].tolist()).items()
    )
    for name, coefficient in zip(feature_names(), regression.coefficients, strict=True):
        sys.stdout.write(f"  {name:24}{coefficient:9.3f}\n")
    seconds = time.monotonic() - started
    sys.stdout.write(f"{target}: {target.stat().st_size:,} bytes from {said}, in {seconds:.0f} s.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
