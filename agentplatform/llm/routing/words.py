"""The meaning of a text as the mean of its words' vectors: a table that is read, no model that is run.

Source: the sentence-transformer's vector of every word piece alone, reduced by principal components and averaged with
the pieces' inverse document frequency as weights (M. van Dongen and S. Tulkens, Model2Vec, 2024; S. Arora et al., A
Simple but Tough-to-Beat Baseline for Sentence Embeddings, 2017).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

TOKEN = re.compile(r"[a-z]+|\d|[^\sa-z\d]")
LONGEST_WORD = 40
REMEMBERED_WORDS = 20_000


class WordVectors:
    """Word pieces with a vector and a weight each. Safe to use from several threads."""

    def __init__(
        self,
        pieces: Sequence[str],
        vectors: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float32],
    ) -> None:
        self._places = {piece: place for place, piece in enumerate(pieces)}
        self._vectors = vectors
        self._weights = weights
        self._remembered: dict[str, tuple[int, ...]] = {}
        whole = [piece for piece in pieces if piece.isalpha() and (len(piece) > 1 or piece in "ai")]
        self.ranks = {word: rank for rank, word in enumerate(whole)}

    @property
    def dimensions(self) -> int:
        return int(self._vectors.shape[1])

    def places(self, text: str) -> list[int]:
        """The places of the text's word pieces; what the table does not know is left out."""
        return [place for token in TOKEN.findall(text.lower()) for place in self._pieces(token)]

    def mean(self, text: str) -> npt.NDArray[np.float32]:
        """The weighted mean of the text's vectors, of length 1; zero for a text without known words."""
        places = self.places(text)
        if not places:
            return np.zeros(self.dimensions, dtype=np.float32)
        total: npt.NDArray[np.float32] = self._weights[places] @ self._vectors[places]
        length = float(np.linalg.norm(total))
        return total / np.float32(length) if length > 0 else total

    def _pieces(self, token: str) -> tuple[int, ...]:
        known = self._remembered.get(token)
        if known is None:
            known = self._split(token) if len(token) <= LONGEST_WORD else ()
            if len(self._remembered) < REMEMBERED_WORDS:
                self._remembered[token] = known
        return known

    def _split(self, token: str) -> tuple[int, ...]:
        """The longest pieces first, as WordPiece does; a rest that no piece begins is left out."""
        found: list[int] = []
        start = 0
        while start < len(token):
            for end in range(len(token), start, -1):
                piece = token[start:end] if start == 0 else f"##{token[start:end]}"
                place = self._places.get(piece)
                if place is not None:
                    found.append(place)
                    start = end
                    break
            else:
                break
        return tuple(found)
