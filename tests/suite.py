"""The whole suite in parts, three at a time: `python -m tests.suite`; with arguments, one run of what they say.

The integration tests use the servers of the environment, functional and chaos tests products of their own, and all of them
wait for others much of the time. Whoever is done first takes the part that is left. The output of a part is printed when
it has ended.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import IO

PYTEST = (sys.executable, "-m", "pytest")
PARTS = ("tests/integration", "tests/functional", "tests/unit", "tests/chaos")
AT_A_TIME = 3


def main(arguments: list[str]) -> int:
    """The exit status: that of a part which failed, if one did."""
    if arguments:
        return subprocess.run([*PYTEST, *arguments], check=False).returncode
    status = 0
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for ended in as_completed([pool.submit(run, part) for part in PARTS]):
            returncode, output = ended.result()
            with output:
                sys.stdout.buffer.write(output.read())
                sys.stdout.flush()
            status = returncode or status
    return status


def run(part: str) -> tuple[int, IO[bytes]]:
    """Runs one part; its exit status and its output, from the start."""
    output = tempfile.TemporaryFile()  # noqa: SIM115 - who asked reads and closes it
    returncode = subprocess.run(
        [*PYTEST, part], stdout=output, stderr=subprocess.STDOUT, check=False
    ).returncode
    output.seek(0)
    return returncode, output


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
