"""Queues on real processes: workers are lent and come back, settings hold at once, and a tenant keeps to its limits."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.product import Product, broken_invariants, eventually

WORKFLOWS = "/api/v1/workflows/"
QUEUE_PAGE = "/admin/workflows/queueconfig/standard/change/"


@pytest.fixture
def restored(product: Product) -> Iterator[Product]:
    """The product; afterwards the queue `standard` is as it was."""
    yield product
    product.query(
        "UPDATE workflows_queueconfig SET max_concurrent = 100, borrow_after_seconds = 10 "
        "WHERE name = 'standard' RETURNING name"
    )


def lendable_serves(product: Product) -> list[str]:
    """What the lendable worker's heartbeat says that it serves."""
    rows = product.query("SELECT queues FROM workflows_heartbeat WHERE is_lendable AND kind = 'worker'")
    return sorted(queue for (queues,) in rows for queue in queues)


def running_on_lendable(product: Product) -> int:
    """Steps of the queue `standard` that have run on the lendable worker."""
    ((count,),) = product.query(
        "SELECT count(*) FROM workflows_step s JOIN workflows_heartbeat h ON h.name = s.worker "
        "WHERE h.is_lendable AND s.queue_id = 'standard'"
    )
    return int(count)


def test_a_worker_is_lent_while_steps_wait_and_comes_back(restored: Product) -> None:
    """Batch's lendable slots take over what standard's five cannot, and batch has them back when it is done."""
    product = restored
    product.query(
        "UPDATE workflows_queueconfig SET borrow_after_seconds = 1 WHERE name = 'standard' RETURNING name"
    )
    product.stack.start(["batch-lendable"])
    try:
        eventually(lambda: lendable_serves(product) == ["batch"], 60, "the lendable worker is not up")
        with product.as_new_tenant("lends"):
            ids = [product.submit("one_sleep", {"seconds": 1}) for _ in range(45)]
            eventually(lambda: lendable_serves(product) == ["standard"], 20, "nothing was lent")
            begun = time.monotonic()
            for workflow_id in ids:
                assert product.finished(workflow_id, 60)["status"] == "succeeded"
            assert running_on_lendable(product) >= 10
            assert time.monotonic() - begun < 8, "five slots alone would take nine seconds"
            eventually(lambda: lendable_serves(product) == ["batch"], 20, "it was not taken back")
            late = product.submit("one_sleep", {"seconds": 0}, priority="batch")
            assert product.finished(late, 20)["status"] == "succeeded"
    finally:
        product.stack.stop("batch-lendable")
    assert broken_invariants(product) == {}


class Browser:
    """Somebody in front of the admin, signed in."""

    def __init__(self, product: Product) -> None:
        self.http = httpx2.Client(base_url=product.stack.base_url, timeout=30, follow_redirects=True)
        product.manage(
            "shell",
            "-c",
            "from apps.tenants.models import User; "
            "User.objects.filter(username='somebody').exists() or "
            "User.objects.create_superuser('somebody', password='a long word')",
        )
        login = {"username": "somebody", "password": "a long word", "next": "/admin/"}
        assert "Log out" in self.send("/admin/login/", login).text

    def send(self, path: str, changes: dict[str, str]) -> httpx2.Response:
        """Sends the form of a page as it is shown, with these changes."""
        page = self.http.get(path).text
        fields = dict(re.findall(r'<input[^>]*\bname="([^"]+)"[^>]*\bvalue="([^"]*)"', page))
        fields |= {
            name: value
            for value, name in re.findall(r'<input[^>]*\bvalue="([^"]*)"[^>]*\bname="([^"]+)"', page)
        }
        fields = {name: value for name, value in fields.items() if not name.startswith("_")}
        return self.http.post(path, data={**fields, **changes}, headers={"Referer": str(self.http.base_url)})


def test_a_queues_limit_changed_in_the_admin_holds_without_a_restart(restored: Product) -> None:
    """One step at a time from then on, and all at once when it is set back."""
    product = restored
    browser = Browser(product)
    with product.as_new_tenant("changes"):
        answer = browser.send(QUEUE_PAGE, {"max_concurrent": "1"})
        assert product.query("SELECT max_concurrent FROM workflows_queueconfig WHERE name = 'standard'") == [
            (1,)
        ], re.findall(r"errorlist.*?</ul>", answer.text)
        ids = [product.submit("one_sleep", {"seconds": 0.4}) for _ in range(4)]
        waits = [step["waiting_for"] for id_ in ids for step in product.workflow(id_)["steps"]]
        assert "queue_full" in waits, waits
        for workflow_id in ids:
            product.finished(workflow_id)
        overlapping = product.query(
            "SELECT a.id FROM workflows_step a JOIN workflows_step b ON a.id < b.id "
            "AND a.started_at < b.finished_at AND b.started_at < a.finished_at "
            "WHERE a.workflow_id = ANY (%s::uuid[]) AND b.workflow_id = ANY (%s::uuid[])",
            ids,
            ids,
        )
        assert overlapping == []
        log = product.query("SELECT change_message FROM django_admin_log WHERE object_id = 'standard'")
        assert any("max_concurrent 100 → 1" in message for (message,) in log)


def test_a_tenant_keeps_to_its_rates(product: Product) -> None:
    """Of requests, with a 429 that says how long to wait; and of steps, which wait and say so."""
    with product.as_new_tenant("slow"):
        product.manage("tenant", "limits", "slow", "--requests-per-minute", "120", "--steps-per-minute", "2")
        ids = [product.submit("one_noop", {}) for _ in range(3)]
        for workflow_id in ids[:2]:
            assert product.finished(workflow_id)["status"] == "succeeded"
        (step,) = product.workflow(ids[2])["steps"]
        assert (step["status"], step["waiting_for"]) == ("ready", "tenant_rate")
        answers = [product.http.get(f"{WORKFLOWS}{ids[0]}/") for _ in range(125)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].headers["Retry-After"] == "1"
        assert refused[0].headers["RateLimit-Limit"] == "120"
        assert refused[0].json()["type"] == "urn:agentplatform:problem:too-many-requests"
        time.sleep(1.1)
        assert product.http.get(f"{WORKFLOWS}{ids[0]}/").status_code == 200
