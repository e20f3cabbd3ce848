"""Which tier a request is sent to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, Catalogue
from agentplatform.llm.errors import ContextWindowExceeded, ModelError
from agentplatform.llm.routing.selection import Circumstances, Selection, select_tier
from agentplatform.llm.tiers import Tier

FAST, BALANCED, POWERFUL = Tier


def told(**changed: Any) -> Circumstances:
    """A request of middling complexity with time and room enough."""
    usual = Circumstances(
        complexity=0.5,
        complexity_reason="its length",
        pinned=None,
        floor=None,
        cap=None,
        use_case="",
        queue="standard",
        seconds_left=60,
        input_tokens=1_000,
        max_tokens=500,
    )
    return replace(usual, **changed)


def select(catalogue: Catalogue = DEFAULT_CATALOGUE, **changed: Any) -> Selection:
    return select_tier(catalogue, told(**changed))


def with_windows(*windows: int) -> Catalogue:
    """The default tiers with these context windows, and short answers."""
    sizes = dict(zip(Tier, windows, strict=True))
    return Catalogue(
        {
            tier: replace(settings, context_window_tokens=sizes[tier], max_output_tokens=1_000)
            for tier, settings in DEFAULT_CATALOGUE.tiers.items()
        }
    )


@pytest.mark.parametrize(
    ("complexity", "tier"),
    [(0.0, FAST), (0.3, FAST), (0.31, BALANCED), (0.7, BALANCED), (0.71, POWERFUL), (1.0, POWERFUL)],
)
def test_the_cheapest_tier_that_takes_the_complexity_is_chosen(complexity: float, tier: Tier) -> None:
    """And the reason says what the complexity was."""
    selection = select(complexity=complexity)
    assert (selection.tier, selection.wanted) == (tier, tier)
    assert f"complexity {complexity:.2f}: its length" in selection.reason


@pytest.mark.parametrize(
    ("changed", "tier", "reason"),
    [
        ({"pinned": POWERFUL, "complexity": None}, POWERFUL, "pinned by its step"),
        ({"floor": POWERFUL}, POWERFUL, "not below powerful"),
        ({"floor": FAST}, BALANCED, "complexity 0.50"),
        ({"seconds_left": 5.0}, FAST, "one lower, 5 s are left"),
        ({"seconds_left": 5.0, "floor": BALANCED}, BALANCED, "not below balanced"),
        ({"use_case": "summarize_document.summarize", "complexity": 0.9}, FAST, "use case"),
        ({"queue": "interactive", "complexity": 0.34}, FAST, "complexity 0.34"),
    ],
)
def test_circumstances_move_the_choice(changed: dict[str, Any], tier: Tier, reason: str) -> None:
    """Each says so."""
    selection = select(**changed)
    assert selection.tier is tier
    assert reason in selection.reason


def test_a_cap_lowers_every_choice_and_says_what_was_wanted() -> None:
    """A pinned tier and a floor among them."""
    for changed in ({"complexity": 0.9}, {"pinned": POWERFUL}, {"floor": POWERFUL}):
        selection = select(cap=FAST, **changed)
        assert (selection.tier, selection.wanted) == (FAST, POWERFUL)
        assert "capped at fast" in selection.reason


def test_a_request_too_large_for_its_tier_moves_to_a_larger_window() -> None:
    """Upwards first; else downwards; the reason names it."""
    assert select(with_windows(1_100, 2_000, 9_000), complexity=0.1).tier is BALANCED
    assert select(with_windows(9_000, 2_000, 1_100), complexity=0.9).tier is BALANCED
    assert "for its context window" in select(with_windows(1_100, 2_000, 9_000), complexity=0.1).reason


def test_a_request_too_large_for_every_tier_says_how_much_would_fit() -> None:
    """So that it can be divided."""
    with pytest.raises(ContextWindowExceeded) as caught:
        select(with_windows(1_100, 1_200, 1_300))
    assert caught.value.max_input_tokens == 1_300 - 500
    assert not caught.value.transient


def test_a_window_above_the_cap_is_not_taken() -> None:
    """It would cost what the tenant may not spend."""
    with pytest.raises(ContextWindowExceeded):
        select(with_windows(1_100, 2_000, 9_000), cap=FAST)


def test_a_tier_that_nobody_serves_gives_way_to_the_next() -> None:
    """The more capable one first; with none at all it is said."""
    only = Catalogue({BALANCED: DEFAULT_CATALOGUE.tiers[BALANCED]})
    assert select(only, pinned=FAST).tier is BALANCED
    assert select(only, pinned=POWERFUL).tier is BALANCED
    with pytest.raises(ModelError, match="No provider serves"):
        select(Catalogue({}), pinned=FAST)
