"""The peer: DBOS, workflows of ten no-op steps. Runs in an environment of its own, and prints steps a second.

`python -I dbos_chain.py <system database's URL> <workflows>`. Workflows are started in the process that runs them,
which measures faster than DBOS's queues, and synchronous ones, which measure faster than asynchronous ones. Sixteen
threads with a connection each measure as fast as any number from 8 to 64.
"""

import sys
import time

from dbos import DBOS

STEPS = 10
THREADS = 16
WARM_UP = 20


@DBOS.step()
def noop(number: int) -> dict[str, bool]:
    return {"done": True}


@DBOS.workflow()
def ten_noops() -> dict[str, bool]:
    return [noop(number) for number in range(STEPS)][-1]


def run(workflows: int) -> None:
    """Starts so many workflows, and returns when all have ended."""
    handles = [DBOS.start_workflow(ten_noops) for _ in range(workflows)]
    for handle in handles:
        assert handle.get_result() == {"done": True}


def main(url: str, workflows: int) -> None:
    DBOS(
        config={
            "name": "ten_noops",
            "system_database_url": url,
            "log_level": "ERROR",
            "max_executor_threads": THREADS,
            "sys_db_pool_size": THREADS,
        }
    )
    DBOS.launch()
    run(WARM_UP)
    started = time.monotonic()
    run(workflows)
    sys.stdout.write(f"{workflows * STEPS / (time.monotonic() - started)}\n")
    DBOS.destroy()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
