"""How much room a conversation has in a request: a share of the smallest context window that the request may meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agentplatform.llm.catalogue import Catalogue, TierSettings
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.definition import Definition
from agentplatform.workflows.step_spec import StepSpec

DEFAULT_WINDOW_SHARE = 0.1
DEFAULT_MAX_TOKENS = 50_000
"""Half of what a prompt may have before all its tokens become dearer at the fast tier."""
MAX_SHARE_BESIDE_ANSWER = 0.5
"""Of what the longest answer leaves of a window: the rest is for what is asked, and for estimates that are too low."""


@dataclass(frozen=True, slots=True)
class SessionRoom:
    """What a conversation may take of a request.

    `window_share` of a context window, from above 0 to a half, and never more than `max_tokens`: it is told
    at every turn, and what a turn may cost does not grow with the window.
    """

    window_share: float = DEFAULT_WINDOW_SHARE
    max_tokens: int = DEFAULT_MAX_TOKENS

    def tokens(self, tiers: Iterable[TierSettings]) -> int:
        """The room where each of these tiers may have to serve; `max_tokens` where there are none."""
        return min([self.max_tokens, *(self._of(settings) for settings in tiers)])

    def _of(self, settings: TierSettings) -> int:
        beside_answer = settings.context_window_tokens - settings.max_output_tokens
        return int(
            min(settings.context_window_tokens * self.window_share, beside_answer * MAX_SHARE_BESIDE_ANSWER)
        )


def steps_told(definition: Definition, key: str) -> tuple[StepSpec, ...]:
    """The steps that what step `key` remembers can reach: itself and those after it, as far as they call models or may
    add steps that do."""
    reached = {key: definition.step(key)}
    following = [key]
    for one in following:
        for spec in definition.dependents(one):
            if spec.key not in reached:
                reached[spec.key] = spec
                following.append(spec.key)
    return tuple(
        spec for spec in reached.values() if spec.max_input_tokens or spec.max_output_tokens or spec.may_add
    )


def tiers_that_may_serve(
    catalogue: Catalogue, steps: Sequence[StepSpec], cap: Tier | None
) -> list[TierSettings]:
    """The tiers that calls of these steps may be sent to (of any step, where there are none), as routing chooses them.

    By complexity, lowered to the tenant's `cap` or for a budget that is nearly used up, and to the next tier where
    nobody serves one.
    """
    if not catalogue.tiers:
        return []
    ranges = [_range(spec) for spec in steps] or [(Tier.FAST, Tier.POWERFUL)]
    may_serve = {tier for lowest, highest in ranges for tier in _between(lowest, highest, cap)}
    nearest = {settings.tier: settings for settings in map(catalogue.settings, may_serve)}
    return list(nearest.values())


def _range(spec: StepSpec) -> tuple[Tier, Tier]:
    if spec.may_add:  # the steps that its agent adds say themselves by whom they are served
        return Tier.FAST, Tier.POWERFUL
    lowest = spec.min_tier or Tier.FAST
    highest = spec.tier or Tier.POWERFUL
    return lowest, highest if highest.rank > lowest.rank else lowest


def _between(lowest: Tier, highest: Tier, cap: Tier | None) -> Iterator[Tier]:
    if cap is not None and cap.rank < lowest.rank:
        lowest = Tier.FAST  # a floor that the cap is below holds for budgets no more than for the cap
    if cap is not None and cap.rank < highest.rank:
        highest = cap
    return (tier for tier in Tier if lowest.rank <= tier.rank <= highest.rank)
