"""`python -m agentplatform.llm.routing score`, as a process and as a function."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from agentplatform.llm.routing.__main__ import main


def _scored(*lines: str) -> tuple[int, list[dict[str, object]], str]:
    out, complaints = io.StringIO(), io.StringIO()
    status = main(["score"], [line.encode() for line in lines], out, complaints)
    return status, [json.loads(line) for line in out.getvalue().splitlines()], complaints.getvalue()


def test_every_line_is_answered_as_it_comes() -> None:
    """The process answers a line before the next one is sent, and ends well at the end of its input."""
    command = [sys.executable, "-m", "agentplatform.llm.routing", "score"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for prompt in ("Hello!", "Prove Fermat's last theorem.", "line\nbreak and ünïcode"):
            process.stdin.write(json.dumps({"prompt": prompt}) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert set(answer) == {"complexity", "tier", "reason"}
            assert 0 <= answer["complexity"] <= 1
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_tier_follows_from_the_default_limits() -> None:
    """A greeting is for the fast tier; the same with tools, a schema and a hard use case is not."""
    _, (easy, hard), _ = _scored(
        '{"prompt": "Hello!"}',
        '{"prompt": "Hello!", "use_case": "coding", "tools": [{}, {}, {}, {}], "output_schema": {"type": "object"},'
        ' "max_tokens": 64000}',
    )
    assert easy["tier"] == "fast"
    assert hard["tier"] != "fast"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nonsense", "not JSON"),
        ('"a string"', "not an object"),
        ('{"text": "no prompt"}', "prompt"),
        ('{"prompt": 5}', "prompt"),
        ('{"prompt": "x", "tools": -1}', "tools"),
        ('{"prompt": "x", "max_tokens": "many"}', "max_tokens"),
        ('{"prompt": "x", "use_case": 3}', "use_case"),
        ('{"prompt": "x", "output_schema": "yes"}', "output_schema"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_ends_it_with_its_number(line: str, why: str) -> None:
    """What came before is answered; the complaint names the line and what is wrong; the status is 2."""
    status, answers, complaint = _scored('{"prompt": "fine"}', "", line, '{"prompt": "never reached"}')
    assert (status, len(answers)) == (2, 1)
    assert complaint.startswith("line 3: ")
    assert why in complaint


def test_anything_but_score_is_told_how_to_use_it() -> None:
    """Without a command there is a usage line and status 2."""
    complaints = io.StringIO()
    assert main([], [], io.StringIO(), complaints) == 2
    assert "usage" in complaints.getvalue()
