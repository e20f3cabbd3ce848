"""The peer: a plain Celery application that keeps no state, ten no-op tasks chained, results in Redis."""

import os

from celery import Celery, chain

TASKS = 10

app = Celery("plain_chain", broker=os.environ["BROKER_URL"], backend=os.environ["REDIS_URL"])
app.conf.task_default_queue = "plain"
app.conf.result_expires = 600


@app.task(name="plain.noop")
def noop(previous: object = None) -> dict[str, bool]:
    return {"done": True}


def ten_noops() -> object:
    """Sends one chain; returns its last result."""
    return chain(*(noop.s() for _ in range(TASKS))).apply_async()
