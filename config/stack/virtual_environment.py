"""Prepares ``.venv``: ``python3 virtual_environment.py requirements.txt``. Instant when nothing has changed.

Runs with whatever Python the machine calls ``python3``, so it uses the standard library alone and nothing that 3.6
could not read: an old Python has to be told what is wrong, not shown a traceback.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / ".venv"
PYTHON = str(FOLDER / "bin" / "python")


def main(arguments: "list[str]") -> int:
    """Make the environment and install what the requirements file lists; returns the exit status."""
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        return complain(
            f"Python 3.11 or newer is needed, and {sys.executable} is {found}.\n"
            "Install a newer one, or name it: make PYTHON=python3.12 setup"
        )
    requirements = CHECKOUT / arguments[0]
    stamp = FOLDER / f"{requirements.name}.installed"
    wanted = fingerprint(requirements)
    if works() and stamp.exists() and stamp.read_text() == wanted:
        return 0
    failed = make_environment() or install(requirements)
    if not failed:
        stamp.write_text(wanted)
    return failed


def complain(message: str) -> int:
    sys.stderr.write(f"make setup: {message}\n")
    return 1


def fingerprint(requirements: Path) -> str:
    """Changes with the content of the requirements, and with the Python that runs us."""
    return hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()


def works() -> bool:
    """Whether ``.venv`` has a Python that starts and is new enough."""
    check = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
    try:
        return (
            subprocess.call([PYTHON, "-c", check], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
        )
    except OSError:
        return False


def make_environment() -> int:
    """Create ``.venv``, anew when the one there does not work; returns the exit status."""
    if works():
        return 0
    print(f"Creating .venv with Python {sys.version_info[0]}.{sys.version_info[1]}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    command = [sys.executable, "-m", "venv", str(FOLDER)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return 0
    shutil.rmtree(FOLDER, ignore_errors=True)
    return complain(
        f"the virtual environment could not be created:\n{done.stdout.strip()}\n"
        "On Debian and Ubuntu the package python3-venv is needed: apt-get install python3-venv"
    )


def install(requirements: Path) -> int:
    """Run pip and show which package it is at; returns the exit status."""
    total = len(re.findall(r"(?m)^[A-Za-z0-9][^#\n]*==", requirements.read_text()))
    print(
        f"Installing {total} packages from {requirements.name} (a minute or two the first time)", flush=True
    )
    pip = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
    ]
    said: list[str] = []
    count = 0
    with subprocess.Popen(
        [*pip, "-r", str(requirements)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            found = re.match(r"(Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line)
            if found:
                count += 1
                progress(f"  {min(count, total)}/{total} {found.group(2)}")
            elif line.startswith("Installing collected packages"):
                progress("  unpacking all of them into .venv")
    progress("")
    if process.returncode == 0:
        return 0
    return complain("pip failed. Its last lines:\n" + "".join(said[-15:]))


def progress(text: str) -> None:
    """On a terminal one line that changes; elsewhere nothing, since a log needs no count."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{text}")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
