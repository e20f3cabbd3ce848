"""Commands at a terminal find the stack that runs from their home."""

from __future__ import annotations

from pathlib import Path

from config.stack.running import adopt, forget, remember


def test_a_command_adopts_the_running_stack_of_its_home(tmp_path: Path) -> None:
    """Where the servers answer is taken over; what the terminal has set stays; afterwards nothing is left."""
    remember(tmp_path, {"DATABASE_URL": "postgresql://one", "PORT": "8001", "HOME": "/somewhere"})
    environment = {"AGENTPLATFORM_HOME": str(tmp_path), "PORT": "9000"}
    adopt(environment)
    assert environment == {
        "AGENTPLATFORM_HOME": str(tmp_path),
        "PORT": "9000",
        "DATABASE_URL": "postgresql://one",
    }
    assert (tmp_path / "running.json").stat().st_mode & 0o777 == 0o600
    forget(tmp_path)
    environment = {"AGENTPLATFORM_HOME": str(tmp_path)}
    adopt(environment)
    assert "DATABASE_URL" not in environment


def test_a_command_with_a_database_of_its_own_is_left_alone(tmp_path: Path) -> None:
    """It is meant for other servers."""
    remember(tmp_path, {"DATABASE_URL": "postgresql://one", "BROKER_URL": "redis://one"})
    environment = {"AGENTPLATFORM_HOME": str(tmp_path), "DATABASE_URL": "postgresql://other"}
    adopt(environment)
    assert environment["DATABASE_URL"] == "postgresql://other"
    assert "BROKER_URL" not in environment
