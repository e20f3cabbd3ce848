"""How rare a word is and what it is related to: a table of whole words that is read, no model that is run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agentplatform.llm.caching.stems import stem

Floats = npt.NDArray[np.float32]


class Vocabulary:
    """Words in the order of how frequent they are, with a vector each. Safe to use from several threads."""

    def __init__(self, words: Sequence[str], vectors: npt.NDArray[np.int8], scale: float) -> None:
        self._places = {word: place for place, word in enumerate(words)}
        self._stems: dict[str, int] = {}
        for place, word in enumerate(words):
            self._stems.setdefault(stem(word), place)
        self._vectors = vectors
        self._scale = np.float32(scale)
        self._span = math.log1p(len(words) / 50)

    def knows(self, word: str) -> bool:
        """Whether the word, or another form of it, is in the table."""
        return self._place(word) is not None

    def rarity(self, word: str) -> float:
        """From 0 for the most frequent words to 1 for the rarest that are known; a little more for unknown ones."""
        place = self._place(word)
        return 1.1 if place is None else max(0.15, math.log1p(place / 50) / self._span)

    def vectors(self, words: Sequence[str]) -> Floats:
        """A row of length 1 for each word; zeros for a word that is not known."""
        found = np.zeros((len(words), self._vectors.shape[1]), dtype=np.float32)
        for row, word in enumerate(words):
            place = self._place(word)
            if place is not None:
                vector = self._vectors[place].astype(np.float32) * self._scale
                found[row] = vector / max(float(np.linalg.norm(vector)), 1e-6)
        return found

    def _place(self, word: str) -> int | None:
        place = self._places.get(word)
        return self._stems.get(stem(word)) if place is None else place
