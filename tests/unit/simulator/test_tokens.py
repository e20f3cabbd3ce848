"""Token counting and latency, without a server."""

import statistics

from agentplatform.simulator.latency import PROFILES, draw_pace
from agentplatform.simulator.tokens import count_input, count_text, truncate_text


def test_four_bytes_are_a_token_rounded_up() -> None:
    """Of UTF-8, not of characters."""
    assert [count_text(text) for text in ("", "a", "abcd", "abcde", "日本語")] == [0, 1, 1, 2, 3]


def test_a_truncated_text_counts_no_more_than_its_limit() -> None:
    """And is cut between characters."""
    for limit in range(8):
        cut = truncate_text("aé日本語𝄞 end", limit)
        assert count_text(cut) <= limit
        assert "aé日本語𝄞 end".startswith(cut)


def test_no_count_exceeds_the_bytes_and_the_overheads() -> None:
    """What a caller can bound without asking."""
    tools = [{"name": "t", "description": "d", "input_schema": {"type": "object"}}]
    messages = [
        {"role": "user", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "y"}]},
    ]
    size = sum(len(str(part)) for part in (*tools, *messages, "system"))
    assert count_input(messages, "system", tools, None) <= size + 4 * len(messages) + 8 * len(tools) + 3


def test_more_text_is_more_tokens() -> None:
    """In the system prompt, a message, a tool and a schema alike."""
    message, tool = {"role": "user", "content": "x"}, {"name": "t", "input_schema": {"type": "object"}}
    least = count_input([message], "", [tool], None)
    assert count_input([message], "Be brief.", [tool], None) > least
    assert count_input([message, message], "", [tool], None) > least
    assert count_input([message], "", [tool, tool], None) > least
    assert count_input([message], "", [tool], {"type": "object"}) > least


def test_latency_depends_on_seed_and_request_alone() -> None:
    """And scales."""
    drawn = draw_pace("haiku", "digest", seed=1, scale=1)
    assert draw_pace("haiku", "digest", seed=1, scale=1) == drawn
    assert draw_pace("haiku", "digest", seed=2, scale=1) != drawn
    assert draw_pace("haiku", "other", seed=1, scale=1) != drawn
    assert draw_pace("haiku", "digest", seed=1, scale=3).first_token_seconds == 3 * drawn.first_token_seconds
    assert draw_pace("haiku", "digest", seed=1, scale=0).first_token_seconds == 0


def test_the_median_latency_is_the_profiles() -> None:
    """Drawn over many requests, and slower for more powerful models."""
    medians = []
    for line in ("haiku", "sonnet", "opus", "fable"):
        drawn = [draw_pace(line, str(number), seed=0, scale=1).first_token_seconds for number in range(2_000)]
        medians.append(statistics.median(drawn))
        assert abs(medians[-1] / PROFILES[line].first_token_seconds - 1) < 0.05
        assert max(drawn) > 1.8 * medians[-1]
    assert medians == sorted(medians)
