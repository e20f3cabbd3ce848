"""What was learned, as one file: word vectors, trees, linear models, and where they are at home. Read without pickle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from agentplatform.llm.routing.familiarity import Familiarity
from agentplatform.llm.routing.linear import Linear
from agentplatform.llm.routing.structure import Parts, feature_names, structure, take_apart
from agentplatform.llm.routing.trees import Forest
from agentplatform.llm.routing.words import WordVectors

SHIPPED = Path(__file__).with_name("router.npz")
FORMAT = 1
Floats = npt.NDArray[np.float32]


class RouterFileError(RuntimeError):
    """The file of the scorer is missing, broken, or made for other features than these."""


@dataclass(frozen=True, slots=True)
class WordTable:
    """Pieces joined by line ends, int8 vectors with the scale they are to be multiplied by, and float16 weights."""

    pieces: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.int8]
    scale: Floats
    weights: npt.NDArray[np.float16]

    def opened(self) -> WordVectors:
        """The table as it is used."""
        return WordVectors(
            bytes(self.pieces).decode().split("\n"),
            self.vectors.astype(np.float32) * self.scale,
            self.weights.astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Learned:
    """Everything that training leaves. `quantiles`: the expected gain at 0%, 1%, … 100% of the rows learned from."""

    words: WordTable
    forest: Forest
    familiarity: Familiarity
    linear: Linear
    quantiles: Floats

    def save(self, path: Path) -> None:
        """Writes the file; the same content makes the same bytes."""
        arrays = {
            f"{part}.{field.name}": getattr(getattr(self, part), field.name)
            for part, kind in _PARTS.items()
            for field in fields(kind)
        }
        names = np.frombuffer("\n".join(feature_names()).encode(), dtype=np.uint8)
        np.savez_compressed(
            path,
            format=np.array(FORMAT),
            features=names,
            quantiles=self.quantiles,
            **arrays,
            allow_pickle=False,
        )


_PARTS: dict[str, type[WordTable] | type[Forest] | type[Familiarity] | type[Linear]] = {
    "words": WordTable,
    "forest": Forest,
    "familiarity": Familiarity,
    "linear": Linear,
}


def load_learned(path: Path = SHIPPED) -> Learned:
    """Reads a file that `save` has written. Raises RouterFileError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
        is_ours = int(content["format"]) == FORMAT
        names = bytes(content["features"]).decode().split("\n")
        words = WordTable(**_of("words", content))
        forest = Forest(**_of("forest", content))
        familiarity = Familiarity(**_of("familiarity", content))
        linear = Linear(**_of("linear", content))
        quantiles = content["quantiles"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise RouterFileError(
            f"{path} cannot be read ({error}): train it anew with make train-router."
        ) from error
    if not is_ours or names != list(feature_names()):
        raise RouterFileError(f"{path} was made for other features: train it anew with make train-router.")
    return Learned(words, forest, familiarity, linear, quantiles)


def _of(part: str, content: dict[str, Any]) -> dict[str, Any]:
    prefix = f"{part}."
    return {name.removeprefix(prefix): array for name, array in content.items() if name.startswith(prefix)}


def features_of(parts: Parts, words: WordVectors) -> tuple[dict[str, float], Floats]:
    """The named features of a request, and the row that the trees read: these and the mean of its words' vectors."""
    named = structure(parts, words.ranks)
    row = np.concatenate([np.fromiter(named.values(), dtype=np.float32), words.mean(parts.read)])
    return named, row


def feature_rows(texts: Sequence[str], words: WordVectors) -> Floats:
    """The rows of several requests."""
    return np.stack([features_of(take_apart(text), words)[1] for text in texts])
