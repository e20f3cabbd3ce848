"""`make bench-cache DATA=<folder>`, second part: traffic of questions through the whole product, with each layer off and on.

The answers are the simulator's and their words mean nothing here; whether the right one was served is told by the labels
of the questions. Costs are what the ledger says, beside the same traffic with every call made live on the highest tier.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table

from tests.benchmarks.question_traffic import Asked, make_up, stream
from tests.benchmarks.semantic_cache import Share
from tests.product import PROCESSES, Product, running_product

RESULTS = Path("benchmarks/cache_traffic.json")
EXPONENTS = (0.8, 1.0, 1.2)
QUESTIONS = 1_000
PER_SECOND = 40.0
SEED = 7
BATCH_SHARE = 0.4
"""Of the questions with routing and the batch lane: so many may be answered later."""
LAYERS = (
    ("nothing cached", "none"),
    ("exact", "exact,context"),
    ("exact and semantic", "exact,semantic,context"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one stream: questions served by each layer, how many of those wrongly, and the cost (micro-dollars)."""

    what: str
    exponent: float
    questions: int
    by_result: int
    by_call: int
    in_flight: int
    semantic: int
    wrong: int
    cost_usd_micros: int

    @property
    def exact(self) -> int:
        return self.by_result + self.by_call + self.in_flight


def main(arguments: Sequence[str]) -> int:
    """Runs every stream through every configuration, prints the tables, writes RESULTS; returns the exit status."""
    folder = Path(arguments[0])
    streams = {
        exponent: stream(folder, exponent=exponent, questions=QUESTIONS, per_second=PER_SECOND, seed=SEED)
        for exponent in EXPONENTS
    }
    runs = []
    for what, layers in LAYERS:
        with tempfile.TemporaryDirectory() as home:
            environment = {
                "CACHE_LAYERS": layers,
                "CACHE_PATIENCE_SECONDS": "1",
                "BATCH_WAIT_SECONDS": "1",
                "BATCH_POLL_SECONDS": "0.5",
                "BATCH_MIN_SECONDS": "60",
            }
            with running_product(Path(home), (*PROCESSES, "beat"), **environment) as product:
                product.set_provider("anthropic", batches={"seconds": 0})
                runs += [run(product, what, exponent, asked) for exponent, asked in streams.items()]
                if what == LAYERS[-1][0]:
                    told = "… with routing and the batch lane"
                    runs += [
                        run(product, told, exponent, asked, routed=True)
                        for exponent, asked in streams.items()
                    ]
    _print(streams, runs)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(one) for one in runs], indent=2) + "\n")
    return 0


def run(product: Product, what: str, exponent: float, asked: Sequence[Asked], *, routed: bool = False) -> Run:
    """One stream, of a tenant that nothing is kept for yet."""
    name = f"{what} {exponent} {uuid.uuid4().hex[:6]}"
    printed = product.manage("tenant", "create", name)
    headers = {"Authorization": f"Bearer ap_{printed.split('ap_')[1].split()[0]}"}
    tenant_id = printed.split("id ")[1].split()[0]
    topics: dict[str, str] = {}
    lock = threading.Lock()
    # Connections are given up before the server does: which of both is first would be chance otherwise.
    limits = httpx2.Limits(keepalive_expiry=1.0)
    with httpx2.Client(base_url=product.stack.base_url, timeout=60, headers=headers, limits=limits) as http:

        def submit(number: int, one: Asked) -> None:
            later = routed and number % 10 < 10 * BATCH_SHARE
            body = {
                "type": "faq_routed" if routed else "faq",
                "input": {"question": one.text},
                "priority": "batch" if later else "standard",
            }
            response = http.post("/api/v1/workflows/", json=body)
            response.raise_for_status()
            with lock:
                topics[response.json()["workflow_id"]] = one.topic

        started = time.monotonic()
        with ThreadPoolExecutor(16) as submitters:
            sent = []
            for number, one in enumerate(asked):
                time.sleep(max(0.0, started + one.at_seconds - time.monotonic()))
                sent.append(submitters.submit(submit, number, one))
            for each in sent:
                each.result()
    _wait(product, tenant_id)
    return _told(product, what, exponent, tenant_id, topics)


def _wait(product: Product, tenant_id: str) -> None:
    until = time.monotonic() + 300
    open_runs = "SELECT count(*) FROM workflows_workflow WHERE tenant_id = %s AND finished_at IS NULL"
    while product.query(open_runs, tenant_id) != [(0,)]:
        assert time.monotonic() < until, "questions were not answered"
        time.sleep(0.5)
    bad = "SELECT count(*) FROM workflows_workflow WHERE tenant_id = %s AND status <> 'succeeded'"
    assert product.query(bad, tenant_id) == [(0,)]


def _told(product: Product, what: str, exponent: float, tenant_id: str, topics: dict[str, str]) -> Run:
    layers = dict(
        product.query(
            "SELECT cache_layer, count(DISTINCT workflow_id) FROM budgets_ledgerentry "
            "WHERE tenant_id = %s AND kind = 'cache_hit' GROUP BY 1",
            tenant_id,
        )
    )
    served = product.query(
        "SELECT workflow_id, cache ->> 'source_workflow_id' FROM gateway_call "
        "WHERE tenant_id = %s AND cache IS NOT NULL UNION ALL "
        "SELECT id, cache ->> 'source_workflow_id' FROM workflows_workflow WHERE tenant_id = %s AND cache IS NOT NULL",
        tenant_id,
        tenant_id,
    )
    wrong = sum(topics[str(own)] != _topic_of(topics, source) for own, source in served)
    ((cost,),) = product.query(
        "SELECT coalesce(sum(cost_usd_micros), 0)::bigint FROM budgets_ledgerentry WHERE tenant_id = %s",
        tenant_id,
    )
    return Run(
        what,
        exponent,
        len(topics),
        layers.get("workflow", 0),
        layers.get("exact", 0),
        layers.get("in_flight", 0),
        layers.get("semantic", 0),
        wrong,
        cost,
    )


def _topic_of(topics: dict[str, str], source: str) -> str:
    return topics.get(source, "an earlier check")


def _print(streams: dict[float, list[Asked]], runs: Sequence[Run]) -> None:
    console = Console(width=150)
    table = Table(
        title=f"The streams (seed {SEED}): {PER_SECOND:g} questions a second, spaced as in a public trace"
    )
    for column in (
        "exponent",
        "questions",
        "topics",
        "asked before in the same words",
        "in other words only",
        "new",
    ):
        table.add_column(column, justify="right")
    for exponent, asked in streams.items():
        made = make_up(asked)
        new = 1 - made.repeated - made.paraphrased
        shares = (f"{100 * share:.1f}%" for share in (made.repeated, made.paraphrased, new))
        table.add_row(f"{exponent:g}", f"{made.questions:,}", f"{made.topics:,}", *shares)
    console.print(table)
    table = Table(
        title="Shares of all questions; wrong: of those served, by label; cost beside the first of its exponent"
    )
    for column in (
        "exponent",
        "layers",
        "exact",
        "semantic",
        "bought",
        "served wrongly [95%]",
        "cost $",
        "saved",
    ):
        table.add_column(column, justify="left" if column == "layers" else "right")
    base = {one.exponent: one.cost_usd_micros for one in runs if one.what == LAYERS[0][0]}
    for one in sorted(runs, key=lambda one: one.exponent):
        hits = one.exact + one.semantic
        table.add_row(
            f"{one.exponent:g}",
            one.what,
            f"{100 * one.exact / one.questions:.1f}%",
            f"{100 * one.semantic / one.questions:.1f}%",
            f"{100 * (one.questions - hits) / one.questions:.1f}%",
            str(Share(one.wrong, hits)),
            f"{one.cost_usd_micros / 1e6:.4f}",
            f"{100 * (1 - one.cost_usd_micros / base[one.exponent]):.1f}%",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
