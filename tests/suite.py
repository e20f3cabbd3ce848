"""The whole suite as two runs of pytest at once: `python -m tests.suite`; with arguments, one run of what they say.

The first run uses the servers of its environment; the second starts products of its own and waits for them most of the
time, so that together they take little longer than the longer one. Its output follows that of the first.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

PYTEST = (sys.executable, "-m", "pytest")
OWN_PRODUCTS = ("tests/functional", "tests/chaos")
REST = ("tests/unit", "tests/integration")


def main(arguments: list[str]) -> int:
    """The exit status: that of the run which failed, if one did."""
    if arguments:
        return subprocess.run([*PYTEST, *arguments], check=False).returncode
    with tempfile.TemporaryFile() as output:
        second = subprocess.Popen([*PYTEST, *OWN_PRODUCTS], stdout=output, stderr=subprocess.STDOUT)
        try:
            first = subprocess.run([*PYTEST, *REST], check=False).returncode
            status = second.wait()
        finally:
            second.terminate()
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return first or status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
