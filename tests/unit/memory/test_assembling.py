"""How much of a conversation goes into a request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentplatform.memory.assembling import (
    CUT,
    RECALLED_SHARE,
    RECENT_SHARE,
    Exchange,
    Memory,
    assembled,
    best_within,
    is_summary_due,
    latest_within,
    older_part,
    tokens_of,
)

TEXTS = st.text(max_size=400)


def exchanges(texts: list[tuple[str, str]]) -> list[Exchange]:
    """Exchanges in their order."""
    return [Exchange(1 + 2 * number, said, answered) for number, (said, answered) in enumerate(texts)]


CONVERSATIONS = st.lists(st.tuples(TEXTS, TEXTS), max_size=12).map(exchanges)
ROOMS = st.integers(min_value=40, max_value=600)


@given(CONVERSATIONS, ROOMS)
def test_the_latest_exchanges_are_told_without_a_gap(conversation: list[Exchange], room: int) -> None:
    """As many as there is room for; the latest one at least, cut where it must be."""
    kept = latest_within(reversed(conversation), room)
    assert [one.ordinal for one in kept] == [
        one.ordinal for one in conversation[len(conversation) - len(kept) :]
    ]
    assert sum(one.tokens for one in kept) <= room * RECENT_SHARE
    assert bool(kept) is bool(conversation)
    left = conversation[: len(conversation) - len(kept)]
    if left:
        assert sum(one.tokens for one in kept) + left[-1].tokens > int(room * RECENT_SHARE) or kept[
            0
        ].said.endswith(CUT)


def test_what_is_too_long_by_itself_is_cut_and_says_so() -> None:
    """The short side of an exchange stays whole."""
    (kept,) = latest_within([Exchange(1, "How long is it?", "x" * 10_000)], 400)
    assert kept.said == "How long is it?"
    assert kept.answered.endswith(CUT)
    assert kept.tokens <= 200
    (both,) = latest_within([Exchange(1, "é" * 5_000, "ü" * 5_000)], 400)
    assert both.said.endswith(CUT)
    assert both.answered.endswith(CUT)
    assert both.tokens <= 200


@given(CONVERSATIONS, ROOMS)
def test_what_is_recalled_has_its_own_room_and_stands_in_order(
    conversation: list[Exchange], room: int
) -> None:
    """The best that have room, however they came."""
    kept = best_within(reversed(conversation), room)
    assert sum(one.tokens for one in kept) <= room * RECALLED_SHARE
    assert [one.ordinal for one in kept] == sorted(one.ordinal for one in kept)


@given(CONVERSATIONS, ROOMS)
def test_a_summary_takes_the_older_part_and_leaves_the_latest(
    conversation: list[Exchange], room: int
) -> None:
    """From the oldest on without a gap, no more at once than fits, and afterwards none is due where all had room."""
    older = older_part(conversation, room)
    assert [one.ordinal for one in older] == [one.ordinal for one in conversation[: len(older)]]
    assert len(older) < 2 or sum(one.tokens for one in older) <= room
    total = sum(one.tokens for one in conversation)
    if is_summary_due(total, room):
        assert older
        if total <= room:
            assert not is_summary_due(sum(one.tokens for one in conversation[len(older) :]), room)


def test_nothing_is_told_twice() -> None:
    """What is recalled and recent at once stands among the recent."""
    one, two = exchanges([("a", "b"), ("c", "d")])
    memory = assembled("s", [two], [one, two])
    assert memory.recalled == ({"said": "a", "answered": "b"},)
    assert Memory.from_json(memory.to_json()) == memory
    assert Memory.from_json(None).is_empty


def test_tokens_are_rounded_up() -> None:
    """So that many short turns are not taken for none."""
    assert [tokens_of(text) for text in ("", "a", "abcd", "abcde", "éé")] == [0, 1, 1, 2, 1]
