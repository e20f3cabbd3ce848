"""Processes of the Procfile under supervision."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from config.stack.errors import StackError
from config.stack.procfile import Process, read_procfile
from config.stack.stack import Stack
from tests.integration.stack.launching import bare_environment, wait_for


def first_line(stack: Stack, name: str) -> str:
    log = stack.log_path(name)
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    return log.read_text().splitlines()[0]


def test_a_killed_process_is_back_within_seconds_time_after_time(stack: Stack) -> None:
    """Supervision neither gives up nor grows slow, however often a process is killed."""
    for _ in range(3):
        wait_for(lambda: stack.state("sleeper") == "RUNNING")
        killed_at = time.monotonic()
        killed = stack.kill("sleeper")
        wait_for(lambda killed=killed: stack.process_ids().get("sleeper") not in (None, killed))
        assert time.monotonic() - killed_at < 3


def test_a_stopped_process_stays_stopped_until_it_is_started(stack: Stack) -> None:
    """Supervision restarts what ended by itself, not what it was told to end."""
    stack.stop("sleeper")
    stack.stop("sleeper")
    time.sleep(1.5)
    assert stack.state("sleeper") == "STOPPED"
    with pytest.raises(StackError, match="sleeper is not running"):
        stack.pid("sleeper")
    stack.start(["sleeper"])
    stack.start(["sleeper"])
    assert stack.pid("sleeper")


def test_a_restart_gives_a_new_process(stack: Stack) -> None:
    """The old one has ended when the call returns."""
    before = stack.pid("percent")
    stack.restart("percent")
    assert stack.pid("percent") != before


def test_a_per_cent_sign_reaches_the_command_as_it_is(stack: Stack) -> None:
    """Celery's node names contain one, and supervisord gives it a meaning of its own."""
    assert first_line(stack, "percent") == "worker@%h"


def test_a_variable_with_a_space_stays_one_word(stack: Stack) -> None:
    """Variables are replaced word by word, not before the line is split."""
    assert " " in str(stack.home)
    assert first_line(stack, "spaced") == f"{stack.home}/file"


def test_children_find_servers_ports_and_the_simulator_in_their_environment(stack: Stack) -> None:
    """What the stack computes is what the processes see."""
    seen = json.loads(first_line(stack, "environ"))
    for variable in ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "DJANGO_SECRET_KEY", "FLOWER_BASIC_AUTH"):
        assert seen[variable] == stack.environment[variable] != ""
    assert seen["PORT"] == str(stack.ports["PORT"])
    assert seen["ANTHROPIC_API_KEY"] == "simulator"
    assert seen["ANTHROPIC_BASE_URL"] == f"http://127.0.0.1:{stack.ports['SIMULATOR_PORT']}"


def test_a_real_key_takes_the_place_of_the_simulator(tmp_path: Path, procfile: Path) -> None:
    """With ANTHROPIC_API_KEY no simulator runs."""
    stack = Stack(tmp_path / "home", bare_environment(ANTHROPIC_API_KEY="a-key"), procfile=procfile)
    assert "simulator" not in stack.process_names
    assert not stack.simulated


def test_an_unknown_name_is_refused_with_the_known_ones(stack: Stack) -> None:
    """A slip in a name says what names there are."""
    with pytest.raises(StackError, match="no process walker here; known: postgres, broker, cache, sleeper"):
        stack.start(["walker"])


def test_a_procfile_line_that_is_none_is_refused_with_its_number(tmp_path: Path) -> None:
    """A slip in the Procfile says where it is."""
    path = tmp_path / "Procfile"
    path.write_text("# comment\n\nweb: true\nno colon here\n")
    with pytest.raises(StackError, match="line 4"):
        read_procfile(path)
    path.write_text("web: true\nweb: false\n")
    with pytest.raises(StackError, match="line 2: the name web is used twice"):
        read_procfile(path)


def test_a_variable_without_a_value_is_refused_by_name() -> None:
    """Better no start than a process with an empty port."""
    with pytest.raises(StackError, match="process web: no value for 'NOWHERE'"):
        Process("web", ("serve", "--port", "$NOWHERE")).expanded({})
