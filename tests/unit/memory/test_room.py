"""How much room a conversation has: a share of the smallest window that what it is told in may meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from agentplatform.budgets.thresholds import Level
from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, Catalogue
from agentplatform.llm.restraint import Restraint
from agentplatform.llm.routing.selection import Circumstances, fits, select_tier
from agentplatform.llm.tiers import Tier
from agentplatform.memory.room import SessionRoom, steps_told, tiers_that_may_serve
from agentplatform.workflows.definition import Definition, StepSpec

FAST, BALANCED, POWERFUL = Tier
SOME_TIER = (None, *Tier)


def catalogue(windows: Mapping[Tier, int], max_output_tokens: int = 1_000) -> Catalogue:
    """Tiers with these windows; those without one are served by nobody."""
    return Catalogue(
        {
            tier: replace(
                DEFAULT_CATALOGUE.tiers[tier],
                context_window_tokens=tokens,
                max_output_tokens=max_output_tokens,
            )
            for tier, tokens in windows.items()
        }
    )


DIFFERENT = catalogue({FAST: 100_000, BALANCED: 200_000, POWERFUL: 400_000})


def step(key: str, *needs: str, calls: bool = True, **fields: Any) -> StepSpec:
    """A step that calls a model, or none."""
    return StepSpec(key, "agent", needs=needs, max_output_tokens=100 if calls else 0, **fields)


def definition(*steps: StepSpec) -> Definition:
    schema = {"type": "object"}
    return Definition(
        type="talk", title="Talk", description="", input_schema=schema, steps=steps, result=steps[-1].key
    )


def room_of(reply: StepSpec, cap: Tier | None = None, told: Catalogue = DIFFERENT) -> int:
    """The room of a conversation that is told in one step, at a tenth of a window."""
    return SessionRoom(0.1, 1_000_000).tokens(tiers_that_may_serve(told, [reply], cap))


def test_as_installed_a_conversation_has_a_tenth_of_the_window() -> None:
    """20,000 tokens of 200,000."""
    assert SessionRoom().tokens(DEFAULT_CATALOGUE.tiers.values()) == 20_000


@pytest.mark.parametrize(
    ("pinned", "floor", "cap", "tokens"),
    [
        (None, None, None, 10_000),
        (None, BALANCED, None, 20_000),
        (None, POWERFUL, None, 40_000),
        (FAST, None, None, 10_000),
        (POWERFUL, None, None, 10_000),  # a budget that is nearly used up may lower it to the fast tier
        (POWERFUL, POWERFUL, None, 40_000),
        (BALANCED, BALANCED, None, 20_000),
        (None, POWERFUL, BALANCED, 10_000),  # what is capped below its floor may be lowered further
        (None, BALANCED, FAST, 10_000),
    ],
)
def test_the_smallest_window_of_those_that_may_serve_counts(
    pinned: Tier | None, floor: Tier | None, cap: Tier | None, tokens: int
) -> None:
    """Those below the step's floor may not."""
    assert room_of(step("reply", tier=pinned, min_tier=floor), cap) == tokens


def test_a_small_window_may_be_that_of_a_dear_model() -> None:
    """Where any tier may serve, whichever has the smallest window counts; one above the tenant's cap does not."""
    told = catalogue({FAST: 400_000, BALANCED: 200_000, POWERFUL: 100_000})
    assert room_of(step("reply"), told=told) == 10_000
    assert room_of(step("reply"), BALANCED, told) == 20_000
    assert room_of(step("reply", tier=FAST), told=told) == 40_000


@pytest.mark.parametrize("served", [(FAST,), (POWERFUL,), (FAST, POWERFUL), (FAST, BALANCED, POWERFUL)])
def test_whichever_tier_a_call_is_sent_to_is_among_those_that_may_serve(served: tuple[Tier, ...]) -> None:
    """For every step, cap, complexity, restraint and hurry; where a tier is served by nobody, the next one counts."""
    told = catalogue(dict.fromkeys(served, 200_000))
    for pinned, floor, cap in product(SOME_TIER, SOME_TIER, SOME_TIER):
        may_serve = {
            settings.tier
            for settings in tiers_that_may_serve(told, [step("reply", tier=pinned, min_tier=floor)], cap)
        }
        for complexity, level, seconds_left in product((0.1, 0.5, 0.9), Level, (3, 60)):
            circumstances = Circumstances(
                complexity=None if pinned else complexity,
                complexity_reason="",
                pinned=pinned,
                floor=floor,
                cap=cap,
                use_case="",
                queue="standard",
                seconds_left=seconds_left,
                input_tokens=100,
                max_tokens=100,
                restraint=Restraint(level),
            )
            assert select_tier(told, circumstances).tier in may_serve


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize(("window", "output"), [(4_000, 3_000), (70_000, 64_000), (1_000_000, 64_000)])
def test_beside_the_longest_answer_as_much_is_left_as_the_conversation_takes(
    share: float, window: int, output: int
) -> None:
    """Whatever the share: tokens are estimated, and something is asked beside what is remembered."""
    (settings,) = catalogue({FAST: window}, output).tiers.values()
    tokens = SessionRoom(share).tokens([settings])
    assert 0 < tokens <= window * share
    assert fits(settings, 2 * tokens, output)


def test_no_window_is_so_large_that_a_turn_may_cost_what_it_will() -> None:
    """The most that a conversation takes is set in tokens; so it is where nobody serves a tier."""
    large = catalogue(dict.fromkeys(Tier, 1_000_000))
    assert SessionRoom(0.1, 30_000).tokens(large.tiers.values()) == 30_000
    assert tiers_that_may_serve(Catalogue({}), [step("reply")], None) == []
    assert SessionRoom(0.1, 30_000).tokens([]) == 30_000


def test_a_memory_reaches_all_steps_after_it_that_call_a_model() -> None:
    """Directly or not; steps beside it do not count, nor those that call none."""
    told = definition(
        step("beside", tier=FAST),
        step("recall", calls=False),
        step("draft", "recall", "beside", min_tier=POWERFUL),
        step("count", "recall", calls=False),
        step("reply", "draft", "count", min_tier=BALANCED),
    )
    assert [spec.key for spec in steps_told(told, "recall")] == ["draft", "reply"]
    assert [spec.key for spec in steps_told(told, "reply")] == ["reply"]
    assert (
        SessionRoom(0.1).tokens(tiers_that_may_serve(DIFFERENT, steps_told(told, "recall"), None)) == 20_000
    )


def test_where_it_is_not_known_who_will_serve_all_tiers_may() -> None:
    """A step whose agent may add steps of any tier, and a definition that does not say which of its steps call models."""
    adding = step("reply", min_tier=POWERFUL, may_add=("agent",))
    assert room_of(adding) == 10_000
    planning = definition(
        step("plan", calls=False, may_add=("agent",)), step("reply", "plan", min_tier=POWERFUL)
    )
    assert (
        SessionRoom(0.1).tokens(tiers_that_may_serve(DIFFERENT, steps_told(planning, "plan"), None)) == 10_000
    )
    silent = definition(step("recall", calls=False), step("reply", "recall", calls=False))
    assert steps_told(silent, "recall") == ()
    assert SessionRoom(0.1).tokens(tiers_that_may_serve(DIFFERENT, (), None)) == 10_000
    assert SessionRoom(0.1).tokens(tiers_that_may_serve(DIFFERENT, (), FAST)) == 10_000
