"""Makes model calls one after the other and prints what they cost: `python -m tests.benchmarks.calls WHAT COUNT [URL]`.

WHAT is `sdk` (the bare SDK), `pinned` or `routed` (our gateway, ten calls a
step; every call written down, settled and in the ledger), or
a proxy at URL, called by the bare SDK.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

PROMPT = "How do I rotate an API key, and what happens to requests that still use the old one?"
MAX_TOKENS = 100
MODEL = "claude-haiku-5-5"
WARM_UP = 50
CALLS_OF_A_STEP = 10


def measure(call: Callable[[int], object], count: int) -> dict[str, float]:
    """Seconds of each call in order, and the processor time of this process over all of them."""
    for number in range(WARM_UP):
        call(-number - 1)
    # As a worker has it: what is loaded by now stays.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    seconds = []
    started, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        before = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - before)
    cpu, took = time.process_time() - cpu, time.perf_counter() - started
    seconds.sort()
    return {
        "p50_ms": seconds[count // 2] * 1e3,
        "p99_ms": seconds[count * 99 // 100] * 1e3,
        "cpu_ms": cpu / count * 1e3,
        "per_second": count / took,
    }


def bare_sdk(base_url: str) -> Callable[[int], object]:
    """A call of the SDK as it comes, streamed."""
    import anthropic

    client = anthropic.Anthropic(api_key=os.environ["ANTHROPIC_API_KEY"], base_url=base_url, max_retries=0)

    def call(number: int) -> object:
        messages = [{"role": "user", "content": f"{PROMPT} ({number})"}]
        with client.messages.stream(model=MODEL, max_tokens=MAX_TOKENS, messages=messages) as stream:  # type: ignore[arg-type]
            return stream.get_final_message()

    return call


def our_gateway(*, pinned: bool) -> Callable[[int], object]:
    """A call through the gateway of a worker, its journal and ledger in the database."""
    import django

    django.setup()
    from agentplatform.execution.deadlines import Deadline
    from agentplatform.llm.journal import StepIdentity, StepJournal
    from agentplatform.llm.messages import ModelRequest
    from agentplatform.llm.model import CallContext
    from agentplatform.llm.tiers import Tier
    from apps.tenants.services import tenant_create
    from apps.workflows.store import DatabaseCallStore
    from apps.workflows.worker import gateway

    tenant = tenant_create(name=f"calls {uuid.uuid4()}", tier="standard")
    step = StepIdentity(tenant.pk, uuid.uuid4(), uuid.uuid4(), 1, "measure", "measure")
    calls, door = DatabaseCallStore(), gateway()
    journal = StepJournal(step, calls)

    def call(number: int) -> object:
        nonlocal journal
        if number % CALLS_OF_A_STEP == 0:
            journal.flush()
            journal = StepJournal(replace(step, step_id=uuid.uuid4()), calls)
        messages = ({"role": "user", "content": f"{PROMPT} ({number})"},)
        request = ModelRequest(
            Tier.FAST if pinned else None,
            messages,
            MAX_TOKENS,
            asked="" if pinned else f"{PROMPT} ({number})",
        )
        return door.for_step(journal).complete(request, CallContext(Deadline.after(60)))

    return call


def main(what: str, count: str, url: str = "") -> None:
    """Prints one line of JSON."""
    if what in ("pinned", "routed"):
        call = our_gateway(pinned=what == "pinned")
    else:
        call = bare_sdk(url or os.environ["ANTHROPIC_BASE_URL"])
    sys.stdout.write(json.dumps(measure(call, int(count))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
