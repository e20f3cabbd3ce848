"""The agents that moderate a text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentplatform.agents.agent import OptionsError
from agentplatform.agents.moderating import ConcludeModeration, ModerateContent, verdict_schema
from agentplatform.agents.registry import registry
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.step_spec import StepSpec
from tests.unit.agents.scripting import Script, attempt, codes

TEXT = {"text": "Meet me <here> & now."}


def said(verdict: str, confidence: float, *categories: str) -> str:
    """What a model answers."""
    return json.dumps({"categories": categories, "verdict": verdict, "confidence": confidence})


def moderated(answer: str, workflow_input: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The output of a step whose model answers so; its tier is pinned, as the definition does it."""
    step = attempt(Script(answer), workflow_input or TEXT)
    step.tier, step.options = Tier.FAST, options
    output: dict[str, Any] = ModerateContent().run(step)
    return output


def concluded(screen: dict[str, Any], decide: dict[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """The result of a run whose steps had these outputs, and its degradations."""
    step = attempt(Script(), {}, {"screen": screen, "decide": decide})
    return ConcludeModeration().run(step), codes(step)


def test_a_text_is_judged_by_the_policy_in_one_call() -> None:
    """The text is escaped, so that it cannot end its place in the prompt."""
    script = Script(said("allow", 0.95))
    output = ModerateContent().run(attempt(script, {**TEXT, "policy": {"boats": "Boats of\nany kind."}}))
    assert output == {
        "verdict": "allow",
        "categories": [],
        "confidence": 0.95,
        "is_sure": True,
        "tier": "fast",
    }
    assert "Meet me &lt;here&gt; &amp; now." in script.prompts[0]
    assert "boats: Boats of any kind." in script.prompts[0]
    assert script.asked[0].output_schema == verdict_schema({"boats": ""})


@pytest.mark.parametrize(
    ("answer", "is_sure"),
    [
        (said("block", 0.8, "spam"), True),
        (said("block", 0.79, "spam"), False),
        (said("flag", 0.9), True),
        (said("flag", 0.9, "spam"), True),
        (said("allow", 0.99, "spam"), False),
        (said("block", 0.99), False),
    ],
)
def test_it_is_sure_with_confidence_and_a_verdict_that_fits_its_categories(
    answer: str, is_sure: bool
) -> None:
    """What is allowed breaks nothing, and what is blocked breaks something."""
    assert moderated(answer)["is_sure"] is is_sure


@pytest.mark.parametrize(
    "answer", ["", "allow", "[]", said("maybe", 0.9), said("allow", 2), said("block", 1, "boats")]
)
def test_an_answer_that_is_none_is_unclear(answer: str) -> None:
    """So that a better model is asked."""
    output = moderated(answer)
    assert (output["verdict"], output["is_sure"]) == ("unclear", False)


def test_how_sure_it_must_be_is_an_option() -> None:
    """Of the definition; one that is no share is an error when it is loaded."""
    assert moderated(said("allow", 0.6), min_confidence=0.5)["is_sure"]
    with pytest.raises(OptionsError, match="min_confidence"):
        ModerateContent().check_options(
            StepSpec("screen", "moderate_content", options={"min_confidence": 80}), registry
        )


SURE = {"verdict": "allow", "categories": [], "confidence": 0.9, "is_sure": True, "tier": "fast"}
UNSURE = {**SURE, "confidence": 0.4, "is_sure": False}
UNCLEAR = {**UNSURE, "verdict": "unclear", "confidence": 0.0}
DECIDED = {
    "verdict": "block",
    "categories": ["spam"],
    "confidence": 0.7,
    "is_sure": False,
    "tier": "powerful",
}


def test_the_result_is_that_of_the_last_who_was_asked() -> None:
    """And says which tier that was."""
    result, told = concluded(SURE, None)
    assert (result["verdict"], result["tier"], result["escalated"], told) == ("allow", "fast", False, [])
    result, told = concluded(UNSURE, DECIDED)
    assert (result["verdict"], result["tier"], result["escalated"], told) == ("block", "powerful", True, [])
    assert result["categories"] == ["spam"]


@pytest.mark.parametrize(
    ("screen", "decide"), [(UNSURE, None), (UNCLEAR, None), (UNSURE, {**DECIDED, "verdict": "unclear"})]
)
def test_without_a_clear_verdict_a_text_is_flagged(
    screen: dict[str, Any], decide: dict[str, Any] | None
) -> None:
    """It is said; nothing is published for want of an answer."""
    result, told = concluded(screen, decide)
    assert (result["verdict"], told) == ("flag", ["verdict_unclear"])
