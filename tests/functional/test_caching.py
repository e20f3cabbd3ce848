"""What was bought once is given again, over REST, on real processes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.product import Product, broken_invariants

LEASES = "# Leases\n\nA lease lasts fifteen seconds. It is renewed every five seconds by its worker.\n"
QUESTION = {"question": "How long does a lease last?"}
FRESH = {"Cache-Control": "max-age=60"}
"""Tests forbid caches unless they say otherwise."""


def asked(product: Product, body: dict[str, Any], **headers: str) -> Any:
    """The response to a submission that waits for its end."""
    return product.http.post(
        "/api/v1/workflows/", json=body, headers={"Prefer": "wait=20", **FRESH, **headers}
    )


def test_the_same_question_is_answered_at_once_and_for_nothing(product: Product) -> None:
    """Without a step; whose answer it is is said; a change of the knowledge base ends it."""
    with product.as_new_tenant("asks twice"):
        product.document("Leases", LEASES)
        body = {"type": "answer_question", "input": QUESTION}
        first = asked(product, body).json()
        assert (first["status"], first["cache"]) == ("succeeded", None), first
        calls = product.calls()["total"]
        started = time.monotonic()
        response = asked(product, body)
        assert time.monotonic() - started < 1
        again = response.json()
        assert (response.status_code, again["status"], again["result"]) == (200, "succeeded", first["result"])
        assert (again["steps"], again["cost_usd_micros"]) == ([], 0)
        cache = again["cache"]
        assert (cache["layer"], cache["similarity"]) == ("exact", 1.0)
        assert cache["source_workflow_id"] == first["id"]
        assert cache["age_seconds"] >= 0
        assert product.calls()["total"] == calls
        product.document("More", "# Leases\n\nSince May a lease lasts twenty seconds.\n")
        changed = asked(product, body).json()
        assert changed["cache"] is None
        assert product.calls()["total"] > calls
    assert broken_invariants(product) == {}


@pytest.mark.parametrize("header", ["no-cache", "no-store", "max-age=0", "private, No-Cache"])
def test_a_submission_may_refuse_what_is_kept(product: Product, header: str) -> None:
    """By its Cache-Control."""
    body = {"type": "one_kept_question", "input": {"question": f"What is {header}?"}}
    asked(product, body)
    refused = asked(product, body, **{"Cache-Control": header}).json()
    assert refused["cache"] is None
    assert refused["cost_usd_micros"] > 0


def test_a_kept_answer_is_told_as_a_stream(product: Product) -> None:
    """A step's, and a whole result's: in pieces that add up to what was said."""
    for type_ in ("one_question", "one_kept_question"):
        body = {"type": type_, "input": {"question": f"What is said again by {type_}?"}}
        first = asked(product, body).json()
        started = product.http.post("/api/v1/workflows/", json=body, headers=FRESH).json()
        events = list(product.events(started["workflow_id"]))
        again = product.workflow(started["workflow_id"])
        assert again["result"] == first["result"]
        assert again["cost_usd_micros"] == 0
        assert events[-1][1] == "done"
        told = [data["text"] for _, kind, data in events if kind == "token"]
        if type_ == "one_kept_question":
            assert len(told) > 1
            assert "".join(told) == first["result"]["answer"]
        elif told:  # it may have been told before anybody listened
            assert first["result"]["answer"].endswith("".join(told))
        else:
            assert again["steps"][0]["served_by"]["cache"]["layer"] == "exact"


def test_a_burst_of_equal_submissions_is_one_call(product: Product) -> None:
    """From whatever worker: forty submissions, one model call, forty answers."""
    product.fault(delay_seconds=0.5)
    body = {
        "type": "one_question",
        "input": {"question": "What do forty ask at once?"},
        "priority": "interactive",
    }
    ids = [
        product.http.post("/api/v1/workflows/", json=body, headers=FRESH).json()["workflow_id"]
        for _ in range(40)
    ]
    answers = {product.finished(workflow_id)["result"]["answer"] for workflow_id in ids}
    assert len(answers) == 1
    assert product.calls()["total"] == 1
    assert broken_invariants(product) == {}
