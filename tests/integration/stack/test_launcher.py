"""The launcher as a person meets it: what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from config.stack.errors import UsageError
from config.stack.layout import Layout
from config.stack.ports import public_ports
from config.stack.stack import Stack
from tests.integration.stack.launching import Launcher, bare_environment, free_ports

Launch = Callable[..., Launcher]
EVERYTHING_ENDED_SECONDS = 15


def assert_gone(family: list[psutil.Process]) -> None:
    """Every one of these processes ends within fifteen seconds."""
    assert len(family) >= 4, "supervisord and three servers should have been running"
    _, left = psutil.wait_procs(family, timeout=EVERYTHING_ENDED_SECONDS)
    assert not left


def test_an_occupied_port_is_named_with_its_variable_before_anything_starts(launch: Launch) -> None:
    """The error says which port, which variable, and the exit status is 2."""
    port, flower_port = map(str, free_ports(2))
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        occupied = str(occupant.getsockname()[1])
        launcher = launch("serve", PORT=port, FLOWER_PORT=flower_port, SIMULATOR_PORT=occupied)
        status, errors = launcher.end()
    assert status == 2
    assert f"Port {occupied} (SIMULATOR_PORT) is already in use" in errors
    assert not launcher.home.exists()


@pytest.mark.parametrize("variable", ["PORT", "FLOWER_PORT", "SIMULATOR_PORT"])
def test_each_port_is_checked_and_the_simulators_only_without_a_key(tmp_path: Path, variable: str) -> None:
    """A port that nothing will listen on may be in use."""
    ports = dict(zip(("PORT", "FLOWER_PORT", "SIMULATOR_PORT"), map(str, free_ports(3)), strict=True))
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        ports[variable] = str(occupant.getsockname()[1])
        with pytest.raises(UsageError, match=rf"Port {ports[variable]} \({variable}\) is already in use"):
            Stack(tmp_path, bare_environment(**ports)).require_free()
        with_a_key = Stack(tmp_path, bare_environment(ANTHROPIC_API_KEY="a-key", **ports))
        if variable == "SIMULATOR_PORT":
            with_a_key.require_free()
        else:
            with pytest.raises(UsageError, match=variable):
                with_a_key.require_free()


@pytest.mark.parametrize("value", ["eighty", "0", "65536", "-1", "٣"])
def test_a_port_that_is_none_is_refused(value: str) -> None:
    """A slip in a port is an error in words, not a traceback."""
    with pytest.raises(UsageError, match=f"PORT={value} is not a port"):
        public_ports({"PORT": value})


def test_two_variables_with_one_port_are_refused() -> None:
    """Found before either process fails over it."""
    with pytest.raises(UsageError, match="PORT and FLOWER_PORT are both 5555"):
        public_ports({"PORT": "5555"})


def test_a_second_start_on_the_same_home_is_refused(launch: Launch) -> None:
    """The error names the home and the process that has it; the first one goes on."""
    first = launch("servers")
    first.wait_for_urls()
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        # As a second `make run` would find it: the first one's port is in use as well.
        status, errors = launch("serve", PORT=str(occupant.getsockname()[1])).end()
    assert status == 2
    assert f"already running from {first.home} (process {first.process.pid})" in errors
    assert first.process.poll() is None


def test_two_homes_run_side_by_side(launch: Launch, tmp_path: Path) -> None:
    """They share no server and no address."""
    one, two = launch("servers", home=tmp_path / "one"), launch("servers", home=tmp_path / "two")
    assert not set(one.wait_for_urls()) & set(two.wait_for_urls())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_in_good_order(launch: Launch, number: signal.Signals) -> None:
    """Ctrl-C and kill are the same."""
    launcher = launch("servers")
    launcher.wait_for_urls()
    family = launcher.family()
    launcher.process.send_signal(number)
    status, errors = launcher.end()
    assert (status, errors) == (0, "")
    assert_gone(family)


def test_killing_the_launcher_ends_everything(launch: Launch) -> None:
    """SIGKILL cannot be handled, and still leaves no orphan."""
    launcher = launch("servers")
    launcher.wait_for_urls()
    family = launcher.family()
    launcher.process.kill()
    assert_gone(family)


def test_a_start_right_after_a_kill_waits_for_what_was_left_to_end(launch: Launch) -> None:
    """Two databases never run on the same data, and the home starts again at once."""
    launcher = launch("servers")
    launcher.wait_for_urls()
    family = launcher.family()
    launcher.process.kill()
    launcher.process.wait()
    successor = launch("servers")
    successor.wait_for_urls()
    assert not any(process.is_running() for process in family)
    assert successor.process.poll() is None


def test_killing_supervisord_ends_everything_with_an_error(launch: Launch) -> None:
    """Without supervision nothing goes on."""
    launcher = launch("servers")
    launcher.wait_for_urls()
    family = launcher.family()
    supervisord = next(process for process in family if process.ppid() == launcher.process.pid)
    supervisord.kill()
    status, errors = launcher.end()
    assert status == 1
    assert "supervisord ended unexpectedly" in errors
    assert_gone(family)


def test_exec_gives_servers_to_a_command_and_exits_as_it_does(launch: Launch) -> None:
    """The command finds the servers and its exit status is passed on; the temporary home is erased."""
    check = 'case "$DATABASE_URL$BROKER_URL$REDIS_URL" in *postgresql:*redis:*redis:*) ;; *) exit 1;; esac; '
    launcher = launch("exec", "--", "sh", "-c", check + "echo $AGENTPLATFORM_HOME; exit 7")
    output, errors = launcher.process.communicate(timeout=20)
    assert (launcher.process.returncode, errors) == (7, "")
    home = Path(output.strip())
    assert not home.exists()
    assert not Layout.of(home).postgres.exists()


def test_a_signal_to_exec_reaches_the_command_and_is_told_as_a_failure(launch: Launch) -> None:
    """CI that cancels a test run ends the tests, then the servers."""
    launcher = launch("exec", "--", "sh", "-c", "echo started; exec sleep 600")
    assert launcher.process.stdout is not None
    assert launcher.process.stdout.readline() == "started\n"
    family = launcher.family()
    os.kill(launcher.process.pid, signal.SIGTERM)
    status, _ = launcher.end()
    assert status == 128 + signal.SIGTERM
    assert_gone(family)
