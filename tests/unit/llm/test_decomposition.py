"""A request too large for every context window is taken apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, Catalogue
from agentplatform.llm.errors import ContextWindowExceeded
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.providers.anthropic import AnthropicModel
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import Calls, context, gateway_to, request

WINDOW = 8_000
DOCUMENT = "\n\n".join(
    f"# Chapter {number}\n\nIn chapter {number} the ship sails on. " + "The sea is calm. " * 60
    for number in range(60)
)


def with_windows(tokens: int) -> Catalogue:
    return Catalogue(
        {
            tier: replace(settings, context_window_tokens=tokens, max_output_tokens=1_500)
            for tier, settings in DEFAULT_CATALOGUE.tiers.items()
        }
    )


@pytest.fixture
def small(provider: AnthropicModel) -> Gateway:
    """A gateway none of whose tiers has a large window."""
    return gateway_to({"anthropic": provider}, with_windows(WINDOW))


def about(document: str) -> ModelRequest:
    return replace(request("Summarize it in two sentences."), tier=None, document=document)


def test_a_document_that_no_window_takes_is_read_in_parts(
    small: Gateway, journal: StepJournal, calls: Calls, simulator: RunningSimulator
) -> None:
    """Every part once, then the notes together; no call is larger than the window, and the result says so."""
    told = context()
    response = small.for_step(journal).complete(about(DOCUMENT), told)
    assert response.text
    assert [note["code"] for note in told.degradations] == ["input_divided"]
    journal.flush()
    settled = [one for kind, one in calls.log if kind == "settle"]
    assert len(settled) >= 3
    assert all(one.usage.total_input_tokens < WINDOW for one in settled)
    # The parts together are the document, and the last call has only what was noted of them.
    assert sum(one.usage.total_input_tokens for one in settled[:-1]) > len(DOCUMENT) / 6
    assert simulator.calls()["total"] >= len(settled)


def test_one_that_fits_is_asked_as_it_is(small: Gateway, journal: StepJournal, calls: Calls) -> None:
    """In one call, without a label."""
    told = context()
    small.for_step(journal).complete(about(DOCUMENT[:3_000]), told)
    assert (calls.kinds, told.degradations) == (["start"], [])


def test_without_a_document_nothing_can_be_divided(small: Gateway, journal: StepJournal) -> None:
    """The error says so, and no call is made."""
    with pytest.raises(ContextWindowExceeded) as caught:
        small.for_step(journal).complete(replace(request(DOCUMENT), tier=None), context())
    assert "Divide the input" in caught.value.message


def test_a_window_too_small_for_notes_divides_nothing(
    provider: AnthropicModel, journal: StepJournal, calls: Calls
) -> None:
    """It would go on for ever."""
    gateway = gateway_to({"anthropic": provider}, with_windows(2_500))
    with pytest.raises(ContextWindowExceeded):
        gateway.for_step(journal).complete(about(DOCUMENT), context())
    assert calls.kinds == []
