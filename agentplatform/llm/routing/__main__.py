"""`python -m agentplatform.llm.routing score`: JSON lines in, JSON lines out.

In: {"prompt": …}, and if known "use_case", "tools" (a list, or their number), "output_schema" (an object, or true) and
"max_tokens". Out, for each line as it comes: {"complexity": …, "tier": …, "reason": …}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from agentplatform.llm.routing.complexity import ComplexityScorer, RoutingInput
from agentplatform.llm.routing.limits import tier_within

USAGE = 'usage: python -m agentplatform.llm.routing score < lines, each a JSON object like {"prompt": "…"}\n'


class LineError(ValueError):
    """A line is not a request that can be scored; the message says why."""


def main(arguments: Sequence[str], lines: Iterable[bytes], out: IO[str], complaints: IO[str]) -> int:
    """Scores line by line; returns the exit status: 2 at the first line that cannot be scored."""
    if list(arguments) != ["score"]:
        complaints.write(USAGE)
        return 2
    scorer = ComplexityScorer.load()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            complexity = scorer.score(parse_line(line))
        except LineError as error:
            complaints.write(f"line {number}: {error}\n")
            return 2
        answer = {
            "complexity": round(complexity.value, 6),
            "tier": tier_within(complexity.value).value,
            "reason": complexity.reason,
        }
        out.write(json.dumps(answer) + "\n")
        out.flush()
    return 0


def parse_line(line: bytes) -> RoutingInput:
    """What a line asks to have scored. Raises LineError."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError(f"not JSON ({error}).") from error
    if not isinstance(content, dict) or not isinstance(content.get("prompt"), str):
        raise LineError('not an object with a string as "prompt".')
    use_case = content.get("use_case") or ""
    if not isinstance(use_case, str):
        raise LineError('"use_case" is not a string.')
    return RoutingInput(
        text=content["prompt"],
        use_case=use_case,
        tool_count=_tool_count(content.get("tools")),
        has_output_schema=_has_schema(content.get("output_schema")),
        max_tokens=_count(content.get("max_tokens"), "max_tokens"),
    )


def _tool_count(tools: Any) -> int:
    return len(tools) if isinstance(tools, list) else _count(tools, "tools")


def _has_schema(schema: Any) -> bool:
    if schema is None or isinstance(schema, bool | dict):
        return bool(schema)
    raise LineError('"output_schema" is neither an object nor true or false.')


def _count(number: Any, name: str) -> int:
    if number is None:
        return 0
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise LineError(f'"{name}" is not a whole number of at least 0.')
    return number


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout, sys.stderr))
    except BrokenPipeError:
        sys.exit(1)
