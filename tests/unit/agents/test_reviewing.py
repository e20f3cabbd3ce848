"""The agents that review a document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentplatform.agents.agent import OptionsError, StepError
from agentplatform.agents.registry import registry
from agentplatform.agents.reviewing import (
    ASPECTS,
    MAX_COMMENT_CHARACTERS,
    MAX_FINDINGS,
    CombineReview,
    ConcludeReview,
    ReviewAspect,
    gravest_first,
)
from agentplatform.workflows.step_spec import StepSpec
from tests.unit.agents.scripting import Script, attempt, codes

DOCUMENT = {"read": {"text": "The price is 5 & 6."}}
REVIEW = json.dumps({"summary": " Mend the price. ", "recommendation": "revise"})


def finding(severity: str, comment: str) -> dict[str, str]:
    """One finding."""
    return {"severity": severity, "comment": comment}


def aspect_step(*answers: str, aspect: str = "facts", **workflow_input: Any) -> tuple[Script, Any]:
    """A specialist's step whose model answers so."""
    script = Script(*answers)
    step = attempt(script, workflow_input, DOCUMENT)
    step.options = {"aspect": aspect}
    return script, step


def needs(**without: None) -> dict[str, Any]:
    """The outputs of the specialists, without some of them."""
    severities = dict(zip(ASPECTS, ("low", "high", "medium", "high"), strict=True))
    return {
        aspect: {"aspect": aspect, "score": 7, "findings": [finding(severity, f"<{aspect}>")]}
        for aspect, severity in severities.items()
    } | without


def test_a_specialist_looks_at_its_side_of_the_document() -> None:
    """With what matters most to the reader."""
    answer = {"score": 4, "findings": [finding("high", "Two prices.")]}
    script, step = aspect_step(json.dumps(answer), focus="the <price>")
    assert ReviewAspect().run(step) == {"aspect": "facts", **answer}
    assert script.asked[0].document == "The price is 5 & 6."
    assert "its facts" in script.prompts[0]
    assert "What matters most: the &lt;price&gt;" in script.prompts[0]


def test_each_specialist_asks_about_another_side() -> None:
    """Of those there are; another is an error when the definition is loaded."""
    prompts = set()
    for aspect in ASPECTS:
        script, step = aspect_step('{"score": 9, "findings": []}', aspect=aspect)
        assert ReviewAspect().run(step)["findings"] == []
        prompts.add(script.prompts[0])
    assert len(prompts) == len(ASPECTS)
    with pytest.raises(OptionsError, match="completeness"):
        ReviewAspect().check_options(StepSpec("x", "review_aspect", options={"aspect": "price"}), registry)


def test_more_findings_than_wanted_are_left_out() -> None:
    """A model is not held to the limits of a schema."""
    long = {"score": 2, "findings": [finding("low", "x" * 2_000)] * 30}
    _, step = aspect_step(json.dumps(long))
    found = ReviewAspect().run(step)["findings"]
    assert (len(found), len(found[0]["comment"])) == (MAX_FINDINGS, MAX_COMMENT_CHARACTERS)


@pytest.mark.parametrize(
    "answer", ["", "[]", '{"score": 11, "findings": []}', '{"score": 3, "findings": [5]}']
)
def test_findings_that_are_none_are_asked_for_once_more(answer: str) -> None:
    """Twice is a failure, and permanent."""
    _, step = aspect_step(answer, '{"score": 9, "findings": []}')
    assert ReviewAspect().run(step)["score"] == 9
    _, step = aspect_step(answer, answer)
    with pytest.raises(StepError) as caught:
        ReviewAspect().run(step)
    assert (caught.value.code, caught.value.transient) == ("no_findings", False)


def test_the_review_has_all_findings_the_gravest_first() -> None:
    """And what its writer makes of them."""
    script = Script(REVIEW)
    step = attempt(script, {}, needs())
    review = CombineReview().run(step)
    assert (review["summary"], review["recommendation"]) == ("Mend the price.", "revise")
    assert review["scores"] == dict.fromkeys(ASPECTS, 7)
    assert [one["aspect"] for one in review["findings"]] == ["style", "completeness", "risks", "facts"]
    assert (review["missing"], codes(step)) == ([], [])
    assert "- high (style): &lt;style&gt;" in script.prompts[0]


def test_a_side_that_nobody_reviewed_is_named() -> None:
    """The review is made of the others; of none there is no review."""
    step = attempt(Script(REVIEW), {}, needs(risks=None))
    review = CombineReview().run(step)
    assert (review["missing"], codes(step)) == (["risks"], ["aspects_missing"])
    with pytest.raises(StepError) as caught:
        CombineReview().run(attempt(Script(), {}, dict.fromkeys(ASPECTS)))
    assert caught.value.code == "nothing_reviewed"


@pytest.mark.parametrize("expired", [False, True])
def test_the_result_says_what_was_made_of_the_review(expired: bool) -> None:
    """Also that nobody has looked at it."""
    answer = {"approved": not expired, "by": "key 1", "comment": "Good.", "expired": expired}
    step = attempt(Script(), {}, {"synthesise": {"summary": "Fine."}, "approve": answer})
    assert ConcludeReview().run(step) == {"summary": "Fine.", "approval": answer}
    assert codes(step) == (["approval_expired"] if expired else [])


def test_what_several_found_in_the_same_words_is_one_finding() -> None:
    """As grave as the gravest of them says."""
    reviews = [
        {"aspect": "facts", "score": 5, "findings": [finding("low", "Too long."), finding("high", "Wrong.")]},
        {
            "aspect": "style",
            "score": 5,
            "findings": [finding("medium", "Too long."), finding("low", "Dull.")],
        },
    ]
    assert [(one["aspect"], one["severity"], one["comment"]) for one in gravest_first(reviews)] == [
        ("facts", "high", "Wrong."),
        ("style", "medium", "Too long."),
        ("style", "low", "Dull."),
    ]
