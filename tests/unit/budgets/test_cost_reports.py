"""A provider's cost report in a file is read leniently in its form, and strictly in what it says."""

from __future__ import annotations

from datetime import date

import pytest

from agentplatform.budgets.cost_reports import ReportError, read_report
from agentplatform.budgets.reconciliation import Amounts, DayOfModel

HEADER = "date,model,input_tokens,output_tokens,cost_usd"


def test_columns_come_in_any_order_and_others_are_passed_over() -> None:
    """Names may be those of the API, and the cache's columns may be missing."""
    (line,) = read_report(
        [
            "Workspace;Cost USD;Model;Output Tokens;cache_read_input_tokens;uncached_input_tokens;Date",
            "one;$1,234.5678901;claude-haiku-5-5;1,000;7;200;2026-11-23T00:00:00Z",
        ]
    )
    assert line == DayOfModel(
        date(2026, 11, 23),
        "claude-haiku-5-5",
        Amounts(usd_micros=1_234_567_890, input_tokens=200, output_tokens=1_000, cache_read_tokens=7),
    )


def test_what_was_written_to_a_cache_is_added_up() -> None:
    """Of either time to live."""
    (line,) = read_report(
        [f"{HEADER},cache_write_5m_tokens,cache_write_1h_tokens", "2026-11-23,m,1,2,0,30,4"]
    )
    assert line.amounts.cache_write_tokens == 34


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "empty"),
        (["date,model,input_tokens"], "lacks the columns output_tokens, cost_usd; it has date, model"),
        ([f"{HEADER},day"], "more than one column for date"),
        ([HEADER, "2026-11-23,m,1"], "Line 2 has 3 fields"),
        ([HEADER, "2026-11-23,m,1,2,0", "23.11.2026,m,1,2,0"], "Line 3: '23.11.2026' is no date"),
        ([HEADER, "2026-11-23,,1,2,0"], "Line 2: the model is missing"),
        ([HEADER, "2026-11-23,m,-1,2,0"], "input_tokens is '-1'"),
        ([HEADER, "2026-11-23,m,1,2,free"], "the cost is 'free'"),
        ([HEADER, "2026-11-23,m,1,2,NaN"], "the cost is 'NaN'"),
    ],
)
def test_what_cannot_be_understood_is_refused(lines: list[str], said: str) -> None:
    """With the line and what is wrong there."""
    with pytest.raises(ReportError, match=said):
        read_report(lines)
