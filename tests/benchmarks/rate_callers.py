"""Many processes that call through their gateways for a while: `python -m tests.benchmarks.rate_callers N SECONDS`.

A call that is deferred is made again when its time has come, as its step would. Prints how many calls were answered.
"""

from __future__ import annotations

import os
import sys
import time
import uuid


def main(processes: int, seconds: float) -> None:
    """Forks the processes once everything is loaded, and before any connection is open."""
    import django

    django.setup()
    from django.db import connections

    import apps.workflows.worker  # noqa: F401 - loaded once, for all of them
    from apps.tenants.services import tenant_create

    tenants = [tenant_create(name=f"rates {uuid.uuid4()}", tier="standard").pk for _ in range(4)]
    connections.close_all()
    connections["default"].close_pool()
    children, until = [], time.monotonic() + seconds
    for number in range(processes):
        reads, writes = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reads)
            os.write(writes, str(_call_until(until, tenants[number % 4])).encode())
            os._exit(0)
        os.close(writes)
        children.append((pid, reads))
    answered = 0
    for pid, reads in children:
        answered += int(os.read(reads, 64) or b"0")
        os.waitpid(pid, 0)
    sys.stdout.write(f"{answered}\n")


def _call_until(until: float, tenant_id: uuid.UUID) -> int:
    from agentplatform.execution.deadlines import Deadline
    from agentplatform.llm.errors import CallDeferred
    from agentplatform.llm.journal import StepIdentity, StepJournal
    from agentplatform.llm.messages import ModelRequest
    from agentplatform.llm.model import CallContext
    from agentplatform.llm.tiers import Tier
    from apps.workflows.store import DatabaseCallStore
    from apps.workflows.worker import gateway

    answered = 0
    while time.monotonic() < until:
        step = StepIdentity(tenant_id, uuid.uuid4(), uuid.uuid4(), 1, "rates", "rates")
        journal = StepJournal(step, DatabaseCallStore())
        request = ModelRequest(Tier.FAST, ({"role": "user", "content": f"Say {step.step_id}."},), 20)
        try:
            gateway().for_step(journal).complete(request, CallContext(Deadline.after(60)))
            journal.flush()
            answered += 1
        except CallDeferred as deferred:
            time.sleep(max(0.0, min(deferred.seconds, until - time.monotonic())))
    return answered


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
