"""Approvals, signals, replays, forks and graphs, as an application asks for them."""

from __future__ import annotations

import uuid
from typing import Any
from xml.etree import ElementTree

import pytest

from apps.workflows.models import Signal, Workflow
from apps.workflows.signals import MAX_KEPT
from tests.integration.api.conftest import WORKFLOWS, Api
from tests.integration.workflows.worker import OneThread, worker

__all__ = ["worker"]


@pytest.fixture
def asking(api: Api, worker: OneThread) -> str:
    """A run that waits for approval, by its URL."""
    workflow_id = api.submit("approval")
    worker.work()
    return f"{WORKFLOWS}{workflow_id}/"


def test_a_step_is_approved(api: Api, worker: OneThread, asking: str) -> None:
    """It says until when it waits; the run goes on, and the answer has who gave it."""
    step = next(step for step in api.get(asking).json()["steps"] if step["key"] == "approve")
    assert (step["status"], step["waiting_for"]) == ("waiting", "approval")
    assert step["waiting_until"] is not None
    response = api.post(f"{asking}steps/approve/approve/", {"comment": "Fine."})
    assert response.status_code == 200
    worker.work()
    assert api.get(asking).json()["status"] == "succeeded"
    kept = Signal.objects.get()
    assert kept.payload == {"approved": True, "comment": "Fine."}
    assert kept.sender.startswith("key ")


def test_a_run_keeps_only_so_many_signals(api: Api) -> None:
    """Of those that no step has taken."""
    workflow_id = api.submit()
    sent = {"workflow_id": workflow_id, "kind": "signal", "name": "go", "payload": {}, "sender": "s"}
    Signal.objects.bulk_create(Signal(**sent) for _ in range(MAX_KEPT))
    path = f"{WORKFLOWS}{workflow_id}/signals/go/"
    response = api.post(path, {})
    assert (response.status_code, response.json()["type"]) == (
        409,
        "urn:agentplatform:problem:too-many-signals",
    )
    assert Signal.objects.count() == MAX_KEPT
    Signal.objects.filter(pk=Signal.objects.latest("pk").pk).update(step_id=uuid.uuid4())
    assert api.post(path, {}).status_code == 200


@pytest.mark.parametrize("name", ["x" * 131, "%00"])
def test_a_signal_that_has_no_possible_name_is_refused(api: Api, name: str) -> None:
    """Nothing is kept of it."""
    response = api.post(f"{WORKFLOWS}{api.submit()}/signals/{name}/", {})
    assert (response.status_code, response.json()["type"]) == (400, "urn:agentplatform:problem:invalid-name")
    assert not Signal.objects.exists()


def test_what_waits_for_approval_is_listed(api: Api, other_api: Api, asking: str) -> None:
    """Until it is answered; a tenant's own."""
    api.submit("one_noop")
    waiting = f"{WORKFLOWS}?waiting_for=approval"
    assert [f"{WORKFLOWS}{run['id']}/" for run in api.get(waiting).json()["results"]] == [asking]
    assert other_api.get(waiting).json()["results"] == []
    assert api.get(f"{WORKFLOWS}?waiting_for=luck").status_code == 400
    api.post(f"{asking}steps/approve/approve/", {})
    assert api.get(waiting).json()["results"] == []


def test_the_second_answer_is_told_of_the_first(api: Api, asking: str) -> None:
    """And changes nothing."""
    assert api.post(f"{asking}steps/approve/reject/", {}).status_code == 200
    second = api.post(f"{asking}steps/approve/approve/", {})
    assert (second.status_code, second.json()["type"]) == (409, "urn:agentplatform:problem:already-answered")
    assert "rejected by key" in second.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("steps/draft/approve/", {}, 409, "not-waiting"),
        ("steps/nothing/approve/", {}, 404, "not-found"),
        ("steps/approve/approve/", {"coment": "x"}, 400, None),
        ("steps/approve/approve/", {"comment": 5}, 400, None),
        ("signals/go/", {"payload": "x" * 70_000}, 400, None),
        ("replay/", {"from_step": "nothing"}, 422, "unknown-step"),
        ("replay/", {"from_step": "publish"}, 409, "cannot-replay"),
        ("replay/", {"input": {}}, 400, None),
        ("fork/", {}, 400, None),
        ("fork/", {"input": []}, 400, None),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    api: Api, asking: str, path: str, body: Any, status: int, code: str | None
) -> None:
    """With what is wrong."""
    response = api.post(asking + path, body)
    assert response.status_code == status, response.content
    if code is not None:
        assert response.json()["type"] == f"urn:agentplatform:problem:{code}"
    assert (Signal.objects.count(), Workflow.objects.count()) == (0, 1)


@pytest.mark.parametrize(
    "path", ["steps/approve/approve/", "steps/approve/reject/", "signals/go/", "replay/", "fork/"]
)
def test_another_tenants_run_is_not_there(other_api: Api, asking: str, path: str) -> None:
    """Whatever is asked of it."""
    assert other_api.post(asking + path, {"input": {}} if path == "fork/" else {}).status_code == 404
    assert other_api.get(f"{asking}graph/").status_code == 404
    assert (Signal.objects.count(), Workflow.objects.count()) == (0, 1)


def test_a_signal_is_kept_for_who_will_wait_for_it(api: Api, worker: OneThread) -> None:
    """And refused once nobody will."""
    url = f"{WORKFLOWS}{api.submit('signalled')}/"
    assert api.post(f"{url}signals/go/", {"payload": {"n": 1}}).status_code == 200
    worker.work()
    assert api.get(url).json()["result"]["payload"] == {"n": 1}
    assert api.post(f"{url}signals/go/", {}).status_code == 409


def test_a_replay_is_a_run_of_its_own(api: Api, worker: OneThread) -> None:
    """Once, however often it is asked for with the same key; another body with it is refused."""
    first = api.submit("fan_out", input={"count": 3})
    worker.work()
    url = f"{WORKFLOWS}{first}/"
    told = [api.post(f"{url}replay/", {"from_step": "add"}, Idempotency_Key="k1") for _ in range(2)]
    assert {response.status_code for response in told} == {202}
    (again,) = {response.json()["workflow_id"] for response in told}
    assert told[1]["Idempotency-Replayed"] == "true"
    assert api.post(f"{url}replay/", {"from_step": "double"}, Idempotency_Key="k1").status_code == 409
    worker.work()
    shown = api.get(f"{WORKFLOWS}{again}/").json()
    assert (shown["status"], shown["source_workflow_id"]) == ("succeeded", first)


def test_a_fork_takes_another_input(api: Api, worker: OneThread) -> None:
    """Checked as a submission's is."""
    first = api.submit("fan_out", input={"count": 3})
    worker.work()
    forked = api.post(f"{WORKFLOWS}{first}/fork/", {"input": {"count": 4}, "from_step": "list"})
    worker.work()
    assert api.get(forked["Location"]).json()["result"] == {"sum": 12}
    refused = api.post(f"{WORKFLOWS}{api.submit('each', input={'items': []})}/fork/", {"input": {}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/input/items"


def test_runs_of_steps_are_listed_below_their_parent(api: Api, worker: OneThread) -> None:
    """And are not among those that were submitted."""
    outer = api.submit("outer", input={"output": {"count": 1}})
    worker.work()
    assert [run["id"] for run in api.get(WORKFLOWS).json()["results"]] == [outer]
    (child,) = api.get(f"{WORKFLOWS}?parent={outer}").json()["results"]
    assert api.get(f"{WORKFLOWS}{child['id']}/").json()["parent_workflow_id"] == outer
    assert api.get(f"{WORKFLOWS}?parent=me").status_code == 400


def test_a_graph_has_every_node_with_its_state(api: Api, worker: OneThread) -> None:
    """With what agents have added; and as a picture that names them all."""
    url = f"{WORKFLOWS}{api.submit('adding', input={'add': 1})}/graph/"
    before = api.get(url).json()
    assert [(node["key"], node["status"]) for node in before["nodes"]] == [
        ("plan", "ready"),
        ("sum", "blocked"),
    ]
    worker.work()
    after = api.get(url).json()
    places = {node["key"]: node["layer"] for node in after["nodes"]}
    assert places == {"plan": 0, "added_0": 1, "sum": 2}
    assert {"source": "added_0", "target": "sum", "has_condition": False} in after["edges"]
    picture = api.get(f"{url}?as=svg")
    assert picture["Content-Type"] == "image/svg+xml"
    root = ElementTree.fromstring(picture.content)
    assert {text.get("data-key") for text in root.iter()} - {None} == set(places)
    assert api.get(f"{url}?as=gif").status_code == 400
