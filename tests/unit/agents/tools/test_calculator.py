"""The calculator: exact in what it takes, and closed to everything else."""

from __future__ import annotations

import time

import pytest

from agentplatform.agents.tools.calculator import MAX_EXPRESSION_CHARACTERS, calculate, shown
from agentplatform.agents.tools.tool import ToolError


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("0.1 + 0.2", "0.3"),
        ("(3.5 + 4) * 12", "90"),
        ("17 × 23", "391"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("2 ^ 10", "1024"),
        ("round(100 / 7, 2)", "14.29"),
        ("sqrt(2) * sqrt(2)", "2"),
        ("max(1, 2.5, 2)", "2.5"),
        ("12.345678901234567890123 + 1", "13.345678901234567890123"),
        ("10 ** 1000", "1E+1000"),
        ("3 * 4 =", "12"),
    ],
)
def test_arithmetic_is_exact(expression: str, value: str) -> None:
    """In decimals, as written."""
    assert shown(calculate(expression)) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "(1).__class__",
        "[1, 2][0]",
        "lambda: 1",
        "open('x')",
        "'a' * 3",
        "True + 1",
        "1 / 0",
        "sqrt(-1)",
        "1e99999 * 1e99999",
        "round(1, 2, 3)",
        "abs(x=1)",
        "(" * 300,
        "-" * 400 + "1",
        "1 +",
        "",
        "9" * (MAX_EXPRESSION_CHARACTERS + 1),
    ],
)
def test_what_is_no_arithmetic_is_refused_and_said(expression: str) -> None:
    """As a fault of the input, with what may be written."""
    with pytest.raises(ToolError, match="not calculated") as refused:
        calculate(expression)
    assert refused.value.code == "invalid_expression"
    assert not refused.value.is_tools


@pytest.mark.parametrize("expression", ["9**9**9", "10**1001", "exp(10**9)", "((9**999)**999)**999"])
def test_no_expression_takes_long(expression: str) -> None:
    """Exponents are bounded, and so is the range of numbers."""
    began = time.monotonic()
    with pytest.raises(ToolError):
        calculate(expression)
    assert time.monotonic() - began < 0.5
