"""What every vector of this platform is, without the model that makes it: workers and web import no more than this."""

from __future__ import annotations

from enum import StrEnum

MODEL_NAME = "all-MiniLM-L6-v2-int8"
"""Vectors are compared only with vectors of the same model."""
DIMENSIONS = 384
MAX_TOKENS = 256
"""A text is embedded by its first MAX_TOKENS tokens: the model was trained on no more."""
MIN_SIMILARITY = 0.2
"""Cosine below which a passage has nothing to do with a question. Of this model: a threshold belongs to its model."""

Vector = list[float]
"""DIMENSIONS numbers of length 1 together, so that the inner product is the cosine."""


class Purpose(StrEnum):
    """Why a text is embedded: a question is waited for, passages are not."""

    QUESTION = "question"
    PASSAGE = "passage"
