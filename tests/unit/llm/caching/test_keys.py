"""What shares an answer, and what never does."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.llm.caching.keys import CacheKey, cache_key, result_key
from agentplatform.llm.caching.normalising import normalised, normalised_text, without_fields
from agentplatform.llm.caching.policy import CachePolicy, Caching
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.tiers import Tier

TENANT = uuid.UUID(int=1)
POLICY = CachePolicy(Caching.SEMANTIC, 3600, "7")
ASKED = ModelRequest(
    Tier.FAST,
    ({"role": "user", "content": "What does it cost?"},),
    100,
    system="Be brief.",
    use_case="answer_question.answer",
    asked="What does it cost?",
    depends_on=("knowledge:3",),
)


def key_of(request: ModelRequest = ASKED, **changes: Any) -> CacheKey:
    told = {"policy": POLICY, "tenant_id": TENANT, "agent": "answer_question", "max_tier": None} | changes
    return cache_key(request, **told)


def saying(*turns: str, asked: str | None = None) -> ModelRequest:
    """A conversation whose last turn is the question."""
    roles = ["user" if (len(turns) - place) % 2 else "assistant" for place in range(len(turns))]
    messages = tuple({"role": role, "content": text} for role, text in zip(roles, turns, strict=True))
    return replace(ASKED, messages=messages, asked=turns[-1] if asked is None else asked)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What  does\tit cost? ", "What does it cost?"),
        ("\ufb01ne", "fine"),
        ("\u00a0a\u2003b", "a b"),
        ("ｗｉｄｅ", "wide"),
        ("cafe\u0301", "café"),
        ("a\r\nb  \n\n\n\nc", "a\nb\n\nc"),
    ],
)
def test_spelling_alone_makes_no_difference(one: str, other: str) -> None:
    """White space that says nothing, and characters that are the same to a reader."""
    assert normalised_text(one).strip() == normalised_text(other).strip()


@pytest.mark.parametrize(
    ("one", "other"),
    [("10²", "102"), ("H₂O", "H2O"), ("1½", "11⁄2"), ("if a:\n    b", "if a:\n  b"), ("a\nb", "a b")],
)
def test_what_means_something_else_stays_apart(one: str, other: str) -> None:
    """Powers, fractions, indentation, lines."""
    assert normalised_text(one) != normalised_text(other)


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    """Whatever the text."""
    once = normalised_text(text)
    assert normalised_text(once) == once


def test_an_input_is_normalised_at_every_depth_and_without_its_volatile_fields() -> None:
    """Numbers and truth values stay what they are."""
    document = {"a": [" x  y ", 1, True, None], "b": {"c": "ﬁ"}, "request_id": "r-1"}
    assert without_fields(normalised(document), ["request_id"]) == {
        "a": [" x y", 1, True, None],
        "b": {"c": "fi"},
    }


def test_the_same_request_in_other_spelling_has_the_same_key() -> None:
    """White space and the order of keys say nothing."""
    other = replace(ASKED, messages=({"content": "What  does it cost? ", "role": "user"},))
    assert key_of(other).key_hash == key_of().key_hash


@pytest.mark.parametrize(
    "change",
    [
        {"tier": Tier.BALANCED},
        {"system": "Be long."},
        {"max_tokens": 200},
        {"tools": ({"name": "calculator"},)},
        {"output_schema": {"type": "object"}},
        {"use_case": "other.answer"},
        {"depends_on": ("knowledge:4",)},
        {"min_tier": Tier.BALANCED},
    ],
)
def test_another_scope_shares_no_answer(change: dict[str, Any]) -> None:
    """Neither by its words nor by its meaning."""
    other, own = key_of(replace(ASKED, **change)), key_of()
    assert other.key_hash != own.key_hash
    assert other.scope_hash != own.scope_hash


@pytest.mark.parametrize(
    "change",
    [
        {"tenant_id": uuid.UUID(int=2)},
        {"agent": "other"},
        {"policy": replace(POLICY, version="8")},
        {"max_tier": Tier.FAST},
    ],
)
def test_another_tenant_agent_version_or_cap_shares_no_answer(change: dict[str, Any]) -> None:
    """Neither by its words nor by its meaning."""
    other, own = key_of(**change), key_of()
    assert other.key_hash != own.key_hash
    assert other.scope_hash != own.scope_hash


def test_conversations_that_end_in_the_same_words_share_no_answer() -> None:
    """The earlier turns are part of both keys."""
    one = key_of(saying("I have a cat.", "Nice.", "What does it eat?"))
    other = key_of(saying("I have a dog.", "Nice.", "What does it eat?"))
    assert one.subject == other.subject
    assert one.key_hash != other.key_hash
    assert one.scope_hash != other.scope_hash


def test_the_last_question_of_a_conversation_may_be_put_in_other_words() -> None:
    """Then only the exact key differs."""
    one = key_of(saying("I have a cat.", "Nice.", "What does it eat?"))
    other = key_of(saying("I have a cat.", "Nice.", "Which food is for it?"))
    assert one.scope_hash == other.scope_hash
    assert one.key_hash != other.key_hash


@pytest.mark.parametrize(
    "change", [{"depends_on": None}, {"asked": ""}, {"document": "A text."}, {"asked": "long " * 400}]
)
def test_without_all_that_it_depends_on_there_is_no_answer_by_meaning(change: dict[str, Any]) -> None:
    """Only the same words will do."""
    assert key_of(replace(ASKED, **change)).subject == ""
    assert key_of(policy=replace(POLICY, caching=Caching.EXACT)).subject == ""


scopes = st.fixed_dictionaries(
    {
        "tenant": st.integers(1, 40),
        "version": st.integers(1, 5),
        "knowledge": st.integers(1, 5),
        "agent": st.sampled_from(["a", "b"]),
        "turn": st.sampled_from(["", "Earlier.", "Before."]),
    }
)


@given(scopes, scopes)
def test_keys_are_equal_only_within_one_scope(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Whatever else is the same."""

    def placed(told: dict[str, Any]) -> CacheKey:
        turns = [told["turn"], "Yes."] if told["turn"] else []
        request = replace(saying(*turns, "What now?"), depends_on=(f"knowledge:{told['knowledge']}",))
        return key_of(
            request,
            tenant_id=uuid.UUID(int=told["tenant"]),
            agent=told["agent"],
            policy=replace(POLICY, version=str(told["version"])),
        )

    assert (placed(one).key_hash == placed(other).key_hash) == (one == other)
    assert (placed(one).scope_hash == placed(other).scope_hash) == (one == other)


def test_a_result_is_kept_by_all_that_it_depends_on() -> None:
    """Tenant, version of the definition, knowledge, cap, input."""
    told: dict[str, Any] = {
        "tenant_id": TENANT,
        "version": "7",
        "workflow_input": {"question": "Why?"},
        "depends_on": ["knowledge:3"],
        "max_tier": None,
    }
    own = result_key(**told)
    assert result_key(**told | {"workflow_input": {"question": "Why? "}}) == own
    changes: list[dict[str, Any]] = [
        {"tenant_id": uuid.UUID(int=2)},
        {"version": "8"},
        {"workflow_input": {"question": "How?"}},
        {"depends_on": ["knowledge:4"]},
        {"max_tier": Tier.FAST},
    ]
    assert len({result_key(**told | change) for change in changes} | {own}) == len(changes) + 1


@pytest.mark.parametrize(
    ("declared", "stricter", "holds"),
    [
        (Caching.SEMANTIC, None, Caching.SEMANTIC),
        (Caching.SEMANTIC, Caching.EXACT, Caching.EXACT),
        (Caching.EXACT, Caching.SEMANTIC, Caching.EXACT),
        (Caching.SEMANTIC, Caching.NONE, Caching.NONE),
    ],
)
def test_a_step_can_only_be_stricter_than_its_agent(
    declared: Caching, stricter: Caching | None, holds: Caching
) -> None:
    """What the agent does not allow, no definition can."""
    assert declared.narrowed(stricter) is holds
