"""The whole product as a test sees it: real processes, reached over REST, looked into over SQL."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import redis

from config.stack.management import manage
from config.stack.stack import PROCFILE, Stack
from tests.integration.stack.launching import bare_environment, free_ports

LONG = os.environ.get("CHAOS") == "long"
"""Whether the long versions run, by `make chaos`."""
PROCESSES = (
    "simulator",
    "web",
    "dispatcher",
    "dispatcher-standby",
    "interactive",
    "standard",
    "batch",
    "maintenance",
    "embedder",
)


UNLIMITED = """
    UPDATE tenants_tenanttier SET requests_per_minute = 10000000, steps_per_minute = 10000000,
                                  tokens_per_minute = 2000000000
    RETURNING name"""
"""Takes the tiers' limits per minute out of the way of tests that are about something else."""


class Product:
    """A running stack of its own, with a tenant and its key."""

    def __init__(
        self,
        home: Path,
        processes: tuple[str, ...] = PROCESSES,
        *,
        procfile: Path = PROCFILE,
        **environment: str,
    ) -> None:
        port, flower_port, simulator_port = free_ports(3)
        self.stack = Stack(
            home,
            bare_environment(
                **{
                    "DJANGO_SETTINGS_MODULE": "config.settings",
                    "AGENTPLATFORM_EXTRA_APPS": "tests.workload",
                    "SIMULATOR_LATENCY_SCALE": "0",
                    "CACHE_PATIENCE_SECONDS": "2",  # two cores are busy with tests
                    **environment,
                }
            ),
            port=port,
            flower_port=flower_port,
            simulator_port=simulator_port,
            procfile=procfile,
        )
        self.processes = processes
        self.simulator_url = f"http://127.0.0.1:{simulator_port}"
        self.flower_url = f"http://127.0.0.1:{flower_port}"
        self.key = ""
        self.admin_password = ""
        self.http = httpx2.Client(base_url=self.stack.base_url, timeout=30)

    def start(self) -> None:
        """Servers, schema, tenant, processes; returns once every queue has a worker."""
        self.stack.start_servers()
        self.stack.migrate()
        told = self.stack.bootstrap()
        self.key, self.admin_password = told["tenant_key"], told["admin_password"]
        self.http.headers["Authorization"] = f"Bearer {self.key}"
        # Tests count calls: what another has bought before must not answer theirs. Those of the cache ask otherwise.
        self.http.headers["Cache-Control"] = "no-store"
        self.query(UNLIMITED)
        self.stack.start(self.processes)
        eventually(self.is_ready, 90, "the product is not ready")

    def is_ready(self) -> bool:
        """Whether readyz finds nothing degraded."""
        try:
            response = self.http.get("/readyz")
        except httpx2.TransportError:
            return False
        return response.status_code == 200 and response.json()["status"] == "ok"

    def close(self) -> None:
        """Ends the stack and deletes its data."""
        self.stack.close()
        self.stack.erase()

    def manage(self, *words: str) -> str:
        """Runs a management command; returns what it printed."""
        return manage(list(words), self.stack.environment, self.stack.log_path("manage"))

    @contextmanager
    def as_new_tenant(self, name: str) -> Iterator[None]:
        """Requests are those of a tenant that has nothing yet, within the block."""
        printed = self.manage("tenant", "create", name)
        mine = self.http.headers["Authorization"]
        self.http.headers["Authorization"] = f"Bearer ap_{printed.split('ap_')[1].split()[0]}"
        try:
            yield
        finally:
            self.http.headers["Authorization"] = mine

    def submit(self, type_: str | None, workflow_input: Mapping[str, Any], **more: Any) -> str:
        """Submits a workflow and returns its id."""
        body = {"input": workflow_input, **({"type": type_} if type_ else {}), **more}
        response = self.http.post("/api/v1/workflows/", json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["workflow_id"])

    def refusal(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The one error of a submission that is refused with 422; nothing is stored of it."""
        count = "SELECT count(*) FROM workflows_workflow"
        before = self.query(count)
        response = self.http.post("/api/v1/workflows/", json=dict(body))
        assert response.status_code == 422, response.text
        assert self.query(count) == before
        (error,) = response.json()["errors"]
        return dict(error)

    def add_document(self, title: str, content: str, **more: Any) -> str:
        """Adds a document and returns its id."""
        response = self.http.post("/api/v1/documents/", json={"title": title, "content": content, **more})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def document(self, title: str, content: str) -> str:
        """Adds a document and returns its id, once its passages have their vectors."""
        document_id = self.add_document(title, content)
        self.embedded(document_id)
        return document_id

    def embedded(self, document_id: str) -> None:
        """Returns once the document's passages have their vectors."""
        eventually(
            lambda: self.http.get(f"/api/v1/documents/{document_id}/").json()["is_embedded"],
            60,
            f"{document_id} is not embedded",
        )

    def workflow(self, workflow_id: str) -> dict[str, Any]:
        """The workflow as the API shows it."""
        response = self.http.get(f"/api/v1/workflows/{workflow_id}/")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def finished(self, workflow_id: str, seconds: float = 30) -> dict[str, Any]:
        """The workflow once it has ended."""
        eventually(
            lambda: self.workflow(workflow_id)["finished_at"] is not None,
            seconds,
            f"{workflow_id} has not ended",
        )
        return self.workflow(workflow_id)

    def events(self, workflow_id: str, **headers: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The (id, event, data) of the workflow's stream, to its end."""
        with self.http.stream("GET", f"/api/v1/workflows/{workflow_id}/events/", headers=headers) as stream:
            assert stream.status_code == 200, stream.read()
            fields: dict[str, str] = {}
            for line in stream.iter_lines():
                if line.startswith(":"):
                    continue
                if not line:
                    if "event" in fields:
                        yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
                    fields = {}
                    continue
                name, _, value = line.partition(": ")
                fields[name] = value

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows straight from the database."""
        with psycopg.connect(self.stack.environment["DATABASE_URL"]) as connection:
            values: Any = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
            return connection.execute(sql, values).fetchall()

    def fault(self, **fields: Any) -> None:
        """Scripts a fault of the simulator."""
        response = httpx2.post(f"{self.simulator_url}/_control/faults", json=fields)
        assert response.status_code == 201, response.text

    def calls(self) -> dict[str, Any]:
        """What the simulator has received."""
        return dict(httpx2.get(f"{self.simulator_url}/_control/calls").json())

    def reset_simulator(self) -> None:
        """Clears faults, counts, whatever providers were set to, and what the gateway has learned of them."""
        for resource in ("faults", "calls", "providers"):
            httpx2.delete(f"{self.simulator_url}/_control/{resource}")
        with redis.Redis.from_url(self.stack.environment["REDIS_URL"]) as client:
            for pattern in ("agentplatform.circuit.*", "agentplatform.rate.*"):
                for key in client.scan_iter(pattern):
                    client.delete(key)

    def stop_faults(self) -> None:
        """From now on the simulator answers as it should."""
        httpx2.delete(f"{self.simulator_url}/_control/faults")

    def set_provider(self, name: str, **settings: Any) -> None:
        """Changes the settings of one of the simulator's providers."""
        response = httpx2.patch(f"{self.simulator_url}/_control/providers/{name}", json=settings)
        assert response.status_code == 200, response.text


@contextmanager
def running_product(
    home: Path, processes: tuple[str, ...] = PROCESSES, **environment: str
) -> Iterator[Product]:
    """A product that runs for as long as the block does; its data goes with it."""
    settings = {"CIRCUIT_OPEN_SECONDS": "1.5", "CONFIG_SECONDS": "0.5", **environment}
    product = Product(home, processes, **settings)
    try:
        product.start()
        yield product
    finally:
        product.close()


def eventually(condition: Callable[[], object], seconds: float, otherwise: str) -> None:
    """Returns as soon as the condition holds; fails with `otherwise` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{otherwise} (waited {seconds} s)"
        time.sleep(0.05)


# What must hold in the database after anything that can happen, as queries that return offenders.
INVARIANTS: Mapping[str, str] = {
    "a finished workflow has no unfinished step": """
        SELECT s.id FROM workflows_step s JOIN workflows_workflow w ON w.id = s.workflow_id
        WHERE w.finished_at IS NOT NULL
          AND s.status NOT IN ('succeeded', 'skipped', 'omitted', 'dead', 'cancelled')""",
    "a workflow ends once, and once more for each requeue": """
        SELECT workflow_id FROM workflows_event WHERE kind = 'workflow.status' GROUP BY workflow_id
        HAVING count(*) FILTER (WHERE data ->> 'status' IN ('succeeded', 'partial', 'failed', 'cancelled'))
             > 1 + count(*) FILTER (WHERE data ? 'requeued')""",
    "a step succeeds once, and once more for each requeue": """
        SELECT e.workflow_id FROM workflows_event e
        WHERE e.kind = 'step.status' AND e.data ->> 'status' = 'succeeded'
        GROUP BY e.workflow_id, e.data -> 'key', e.data -> 'index'
        HAVING count(*) > 1 + (SELECT count(*) FROM workflows_event r WHERE r.workflow_id = e.workflow_id
                               AND r.kind = 'workflow.status' AND r.data ? 'requeued')""",
    "a step that gave up has its dead letter": """
        SELECT s.id FROM workflows_step s WHERE s.status IN ('dead', 'skipped')
          AND NOT EXISTS (SELECT 1 FROM workflows_deadletter l
                          WHERE l.step_id = s.id AND l.attempt = s.attempt)""",
    "no call is started after one like it was settled": """
        SELECT later.id FROM gateway_call later JOIN gateway_call settled
          ON settled.step_id = later.step_id AND settled.ordinal = later.ordinal
         AND settled.request_hash = later.request_hash AND settled.id <> later.id
        WHERE settled.status = 'settled' AND later.started_at > settled.settled_at""",
    "a settled call is in the ledger once": """
        SELECT c.id FROM gateway_call c
        LEFT JOIN budgets_ledgerentry l ON l.call_id = c.id AND l.kind <> 'correction'
        WHERE c.status = 'settled' GROUP BY c.id HAVING count(l.id) <> 1""",
    "a tool call that costs is in the ledger once it has ended": """
        SELECT c.id FROM tools_toolcall c
        LEFT JOIN budgets_ledgerentry l ON l.call_id = c.id AND l.kind = 'tool'
        WHERE c.status <> 'started' AND c.price_usd_micros > 0 GROUP BY c.id HAVING count(l.id) <> 1""",
    "no tool is called again that must not be": """
        SELECT later.id FROM tools_toolcall later JOIN tools_toolcall before
          ON before.step_id = later.step_id AND before.ordinal = later.ordinal
         AND before.input_hash = later.input_hash AND before.attempt < later.attempt
        WHERE before.status IN ('succeeded', 'failed') OR NOT before.is_idempotent""",
    "a workflow costs what the ledger says": """
        SELECT w.id FROM workflows_workflow w LEFT JOIN budgets_ledgerentry l ON l.workflow_id = w.id
        GROUP BY w.id HAVING w.cost_usd_micros <> coalesce(sum(l.cost_usd_micros), 0)""",
    "a window has used what the ledger says": """
        SELECT w.id FROM budgets_budgetwindow w JOIN budgets_window_usage u ON u.id = w.id
        LEFT JOIN budgets_windowset s ON w.id = ANY (s.windows)
        LEFT JOIN budgets_ledgerentry l ON l.window_set_id = s.id
        GROUP BY w.id, u.used_usd_micros
        HAVING u.used_usd_micros <> w.opening_usd_micros + coalesce(sum(l.cost_usd_micros), 0)""",
    "a step has one run at a time": """
        SELECT parent_step_id FROM workflows_workflow
        WHERE parent_step_id IS NOT NULL AND (finished_at IS NULL OR status IN ('succeeded', 'partial'))
        GROUP BY parent_step_id HAVING count(*) > 1""",
    "what a run has handed on is what the one within it had": """
        SELECT s.id FROM workflows_step s JOIN workflows_workflow w ON w.parent_step_id = s.id
        WHERE s.status = 'succeeded' AND w.status = 'succeeded' AND s.output IS DISTINCT FROM w.result""",
    "a run in a session that succeeded has its answer kept there": """
        SELECT said.id FROM knowledge_turn said JOIN workflows_workflow w ON w.id = said.workflow_id
        WHERE said.role = 'user' AND w.status = 'succeeded' AND NOT EXISTS (
            SELECT 1 FROM knowledge_turn answer
            WHERE answer.workflow_id = w.id AND answer.session_id = said.session_id
              AND answer.role = 'assistant' AND answer.ordinal = said.ordinal + 1)""",
    "no window is used beyond its cap": """
        SELECT id FROM budgets_window_usage WHERE used_usd_micros > cap_usd_micros""",
}


def broken_invariants(product: Product) -> dict[str, int]:
    """The invariants that do not hold, and how many rows offend against each."""
    found = {name: len(product.query(sql)) for name, sql in INVARIANTS.items()}
    return {name: count for name, count in found.items() if count}
