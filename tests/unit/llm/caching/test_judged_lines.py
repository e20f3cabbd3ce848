"""`python -m agentplatform.llm.caching verify`: lines in, lines out."""

from __future__ import annotations

import io
import json

from agentplatform.llm.caching.__main__ import main


def judged(*lines: bytes) -> tuple[int, list[dict[str, object]]]:
    """The exit status and the answers, with a similarity of .98 for all pairs."""
    out = io.StringIO()
    status = main(["verify"], lines, out, io.StringIO(), lambda a, b: 0.98)
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def test_each_pair_is_answered_in_order() -> None:
    """With everything that the verdict says."""
    status, answers = judged(
        b'{"a": "Where is my order?", "b": "where is my order"}\n',
        b"\n",
        b'{"a": "Cancel order 12", "b": "Cancel order 21"}\n',
    )
    assert status == 0
    assert [answer["serve"] for answer in answers] == [True, False]
    assert [answer["veto"] for answer in answers] == [None, "number"]
    assert all(answer["similarity"] == 0.98 for answer in answers)


def test_a_bad_line_is_answered_and_the_rest_goes_on() -> None:
    """The status says at the end that there was one."""
    status, answers = judged(
        b"{not json\n",
        b'{"a": "only one"}\n',
        b'["a", "b"]\n',
        b"\xff\xfe\n",
        b'{"a": "x", "b": "\\ud800"}\n',
    )
    assert status == 1
    assert ["error" in answer for answer in answers] == [True, True, True, True, False]


def test_any_other_use_is_explained() -> None:
    """And nothing is read."""
    complaints = io.StringIO()
    assert main([], iter(()), io.StringIO(), complaints) == 2
    assert complaints.getvalue().startswith("usage:")
