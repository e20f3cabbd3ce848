"""Flower, behind its login, over the events of real workers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.product import Product, eventually

Task = dict[str, Any]
IDS = re.compile(r"\(\)|\[\]|[\[(]'[0-9a-f-]{36}', \d+[\])]")
"""What the arguments of a task may be: nothing, or a step and an attempt."""


class Flower:
    """Flower as an operator uses it."""

    def __init__(self, product: Product) -> None:
        self.product = product
        user, _, password = product.stack.environment["FLOWER_BASIC_AUTH"].partition(":")
        self.http = httpx2.Client(base_url=product.flower_url, auth=(user, password), timeout=30)

    def is_ready(self) -> bool:
        """Whether it answers, and has heard of a worker of every queue."""
        try:
            workers = self.http.get("/api/workers", params={"status": "true"}).json()
        except httpx2.TransportError:
            return False
        return {name.partition("@")[0] for name in workers} >= {"interactive", "standard", "batch"}

    def tasks(self) -> dict[str, Task]:
        """Every task it knows, by id."""
        response = self.http.get("/api/tasks")
        assert response.status_code == 200
        return dict(response.json())

    def tasks_of(self, workflow_id: str, count: int) -> dict[str, Task]:
        """The tasks of a run by name, once so many of them have ended; workers send their events in bundles."""

        def ended() -> dict[str, Task]:
            return {
                task["name"]: task
                for task in self.tasks().values()
                if task["root_id"] == workflow_id and task["state"] in ("SUCCESS", "FAILURE")
            }

        eventually(lambda: len(ended()) >= count, 20, f"Flower has not heard of {count} tasks")
        return ended()


@pytest.fixture(scope="module")
def flower(_product: Product) -> Iterator[Flower]:
    """Flower beside the running product, listening before anything is submitted."""
    _product.stack.start(["flower"])
    flower = Flower(_product)
    try:
        eventually(flower.is_ready, 60, "Flower has not heard of the workers")
        yield flower
    finally:
        _product.stack.stop("flower")


def test_a_run_is_a_chain_of_tasks_named_by_what_they_do(product: Product, flower: Flower) -> None:
    """Hinted and continued steps alike: one root, each with the step before it as its parent, only ids in args."""
    workflow_id = product.submit("ten_noops", {"text": "not for Flower"})
    assert product.finished(workflow_id)["status"] == "succeeded"
    tasks = flower.tasks_of(workflow_id, 10)
    assert sorted(tasks) == [f"ten_noops.step_{number}" for number in range(10)]
    assert {task["state"] for task in tasks.values()} == {"SUCCESS"}
    assert tasks["ten_noops.step_0"]["parent_id"] is None
    for number in range(1, 10):
        assert tasks[f"ten_noops.step_{number}"]["parent_id"] == tasks[f"ten_noops.step_{number - 1}"]["uuid"]
    for task in tasks.values():
        assert IDS.fullmatch(task["args"]), task["args"]
        assert task["kwargs"] == "{}"


def test_a_failed_step_is_a_failed_task(product: Product, flower: Flower) -> None:
    """With the code of its error, on the list and on its own page; what never ran is no task."""
    workflow_id = product.submit("fails_for_good", {})
    assert product.finished(workflow_id)["status"] == "failed"
    tasks = flower.tasks_of(workflow_id, 3)
    assert {name: task["state"] for name, task in tasks.items()} == {
        "fails_for_good.first": "SUCCESS",
        "fails_for_good.broken": "FAILURE",
        "workflows.file_dead_letter": "SUCCESS",
    }
    broken = tasks["fails_for_good.broken"]
    assert "made_to_fail" in broken["exception"]
    page = flower.http.get(f"/task/{broken['uuid']}")
    assert page.status_code == 200
    assert "fails_for_good.broken" in page.text
    found = flower.http.get("/api/tasks", params={"taskname": "fails_for_good.broken", "state": "FAILURE"})
    assert broken["uuid"] in found.json()


def test_no_prompt_and_no_answer_is_in_flower_or_in_a_log(product: Product, flower: Flower) -> None:
    """A word that is in the question, in the document and in the answer is in none of them."""
    marker = f"quokka{uuid.uuid4().hex}"
    content = f"# Animals\n\nThe {marker} lives on an island and eats leaves at night.\n"
    product.add_document(f"On the {marker}", content)
    question = {"question": f"Where does the {marker} live?"}
    workflow_id = product.submit("answer_question", question, metadata={"about": marker})
    workflow = product.finished(workflow_id)
    assert marker in workflow["result"]["answer"]
    failing = product.submit("fails_for_good", {"text": marker})
    product.finished(failing)
    tasks = {**flower.tasks_of(workflow_id, 3), **flower.tasks_of(failing, 3)}
    assert marker not in flower.http.get("/api/tasks").text
    for task in tasks.values():
        for page in (f"/task/{task['uuid']}", f"/api/task/info/{task['uuid']}"):
            response = flower.http.get(page)
            assert response.status_code == 200
            assert marker not in response.text
    logs = sorted(product.stack.layout.logs.iterdir())
    assert {"web.log", "standard.log", "dispatcher.log", "flower.log"} <= {log.name for log in logs}
    assert [log.name for log in logs if marker.encode() in log.read_bytes()] == []


@pytest.mark.parametrize("path", ["/", "/tasks", "/broker", "/api/tasks", "/api/workers", "/worker/standard"])
def test_without_the_login_there_is_nothing_to_see(product: Product, flower: Flower, path: str) -> None:
    """401, with no password and with a wrong one."""
    assert httpx2.get(product.flower_url + path).status_code == 401
    assert httpx2.get(product.flower_url + path, auth=("operator", "wrong")).status_code == 401
