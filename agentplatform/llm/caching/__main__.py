"""`python -m agentplatform.llm.caching verify`: JSON lines in, JSON lines out.

In: {"a": …, "b": …}, the new question and the one answered before. Out, for each line as it comes:
{"similarity": …, "probability": …, "serve": …, "veto": …}, or {"error": …} for a line that is no pair.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import IO

from agentplatform.llm.caching.verifying import PairVerifier

USAGE = 'usage: python -m agentplatform.llm.caching verify < lines, each a JSON object like {"a": "…", "b": "…"}\n'
Similarity = Callable[[str, str], float]


class LineError(ValueError):
    """A line is not a pair that can be judged; the message says why."""


def main(
    arguments: Sequence[str],
    lines: Iterable[bytes],
    out: IO[str],
    complaints: IO[str],
    similarity_of: Similarity | None = None,
) -> int:
    """Judges line by line; returns the exit status: 1 when a line was no pair, 2 for wrong usage."""
    if list(arguments) != ["verify"]:
        complaints.write(USAGE)
        return 2
    verifier = PairVerifier.load()
    similarity_of = similarity_of or _by_model()
    status = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            a, b = parse_line(line)
        except LineError as error:
            answer: dict[str, object] = {"error": str(error)}
            status = 1
        else:
            verdict = verifier.judge(a, b, similarity_of(a, b))
            answer = {
                "similarity": round(verdict.similarity, 6),
                "probability": round(verdict.probability, 6),
                "serve": verdict.serves(),
                "veto": verdict.veto,
            }
        out.write(json.dumps(answer) + "\n")
        out.flush()
    return status


def parse_line(line: bytes) -> tuple[str, str]:
    """The two questions of a line. Raises LineError."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError(f"not JSON ({error}).") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(side), str) for side in ("a", "b")):
        raise LineError('not an object with strings as "a" and "b".')
    # JSON may hold half of a character, which no model reads.
    a, b = (content[side].encode("utf-8", "replace").decode() for side in ("a", "b"))
    return a, b


def _by_model() -> Similarity:
    from agentplatform.embedding.model import EmbeddingModel

    model = EmbeddingModel(threads=1)

    def similarity_of(a: str, b: str) -> float:
        one, other = (model.embed(model.tokenize([text]))[0] for text in (a, b))
        return float(one @ other)

    return similarity_of


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout, sys.stderr))
    except BrokenPipeError:
        sys.exit(1)
