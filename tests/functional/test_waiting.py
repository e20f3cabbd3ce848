"""A client waits for a result, follows a model's words and says what it thinks, over REST, on real processes."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import psutil

from tests.benchmarks.first_token import first_token_delays
from tests.benchmarks.latency import answer_delays
from tests.benchmarks.streams import measure_streams
from tests.product import Product, broken_invariants, eventually

WORKFLOWS = "/api/v1/workflows/"
NOOPS = {"type": "ten_noops", "input": {}, "priority": "interactive"}


def test_a_submission_is_answered_with_its_result(product: Product) -> None:
    """200 and the whole workflow, as GET shows it."""
    response = product.http.post(WORKFLOWS, json=NOOPS, headers={"Prefer": "wait=20"})
    assert response.status_code == 200, response.text
    assert response.headers["Preference-Applied"] == "wait=20"
    workflow = response.json()
    assert (workflow["status"], workflow["result"]) == ("succeeded", {"done": True})
    assert workflow == product.workflow(workflow["id"])


def test_the_answer_comes_as_soon_as_the_workflow_has_ended(product: Product) -> None:
    """Within a few hundredths of a second, a poll would take longer."""
    delays = answer_delays(product.stack.base_url, product.key, 20)
    assert statistics.median(delays) < 0.05, delays


def test_a_failure_is_an_answer_too(product: Product) -> None:
    """200: the request was served, and the workflow says that it failed."""
    body = {"type": "fails_for_good", "input": {}}
    response = product.http.post(WORKFLOWS, json=body, headers={"Prefer": "wait=20"})
    assert response.status_code == 200
    assert response.json()["error"]["code"] == "made_to_fail"


def test_a_long_workflow_is_accepted_and_waited_for_again(product: Product) -> None:
    """202 after the time; then GET waits for the rest."""
    body = {"type": "one_sleep", "input": {"seconds": 2.5}}
    accepted = product.http.post(WORKFLOWS, json=body, headers={"Prefer": "wait=1"})
    assert accepted.status_code == 202
    assert accepted.json()["status"] == "running"
    read = product.http.get(accepted.headers["Location"], headers={"Prefer": "wait=20"})
    assert (read.status_code, read.json()["status"]) == (200, "succeeded")


def test_many_wait_without_a_thread_each(product: Product) -> None:
    """The web process has hardly more threads than before, answers others, and tells all of the end."""
    workflow_id = product.submit("one_sleep", {"seconds": 4})
    web = psutil.Process(product.stack.pid("web"))
    threads = web.num_threads()

    def read(_: int) -> str:
        response = product.http.get(f"{WORKFLOWS}{workflow_id}/", headers={"Prefer": "wait=25"})
        return str(response.json()["status"])

    with ThreadPoolExecutor(80) as clients:
        statuses = [clients.submit(read, number) for number in range(80)]
        eventually(lambda: len(web.net_connections("tcp")) > 80, 10, "not all of them are connected")
        time.sleep(1)
        assert web.num_threads() < threads + 20
        assert product.workflow(workflow_id)["status"] == "running"
        assert {status.result() for status in statuses} == {"succeeded"}


def test_the_first_token_is_with_the_client_in_no_time(product: Product) -> None:
    """Within 50 ms of the simulator's sending it."""
    delays = first_token_delays(product.stack.base_url, product.simulator_url, product.key, 20)
    assert statistics.median(delays) < 0.05, delays


def test_open_streams_cost_little_and_no_thread_each(product: Product) -> None:
    """Three hundred at less than 100 kB each; every one of them is told of the end."""
    product.stack.stop("batch")  # so that workflows of its queue wait
    try:
        cost = measure_streams(
            product.stack.base_url,
            product.stack.pid("web"),
            product.key,
            streams=300,
            workflows=10,
            idle_seconds=1,
        )
    finally:
        product.stack.start(["batch"])
        eventually(product.is_ready, 60, "the batch worker is not back")
    assert len(cost.told_after_seconds) == 300
    assert cost.threads < 20
    assert cost.rss_bytes < 300 * 100_000


def test_feedback_is_given_on_a_result(product: Product) -> None:
    """Once it has ended; the second verdict replaces the first."""
    workflow_id = product.submit("one_sleep", {"seconds": 1})
    url = f"{WORKFLOWS}{workflow_id}/feedback/"
    early = product.http.post(url, json={"rating": "up"})
    assert early.status_code == 409
    assert early.json()["type"] == "urn:agentplatform:problem:not-finished"
    product.finished(workflow_id)
    assert product.http.post(url, json={"rating": "up"}).status_code == 201
    assert product.http.post(url, json={"rating": "down", "comment": "Too slow."}).status_code == 200
    feedback = product.workflow(workflow_id)["feedback"]
    assert (feedback["rating"], feedback["comment"]) == ("down", "Too slow.")
    assert broken_invariants(product) == {}
