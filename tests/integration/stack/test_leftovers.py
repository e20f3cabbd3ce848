"""Data of temporary homes that are gone."""

from __future__ import annotations

import socket
from pathlib import Path

from config.stack.leftovers import remove_leftovers


def data_of(root: Path, name: str, home: Path) -> Path:
    """A folder of data that belongs to this home."""
    folder = root / name
    (folder / "control").mkdir(parents=True)
    (folder / "home").write_text(f"{home}\n")
    return folder


def test_only_the_data_of_deleted_temporary_homes_is_removed(tmp_path: Path) -> None:
    """A home that is missing elsewhere may lie on a disk that comes back."""
    temporary, root = tmp_path / "tmp", tmp_path / "root"
    (temporary / "alive").mkdir(parents=True)
    alive = data_of(root, "alive", temporary / "alive")
    deleted = data_of(root, "deleted", temporary / "deleted")
    elsewhere = data_of(root, "elsewhere", tmp_path / "disk" / "home")
    (root / "postgresql-18").mkdir()
    remove_leftovers(root, temporary)
    assert alive.exists()
    assert elsewhere.exists()
    assert (root / "postgresql-18").exists()
    assert not deleted.exists()


def test_the_data_of_a_running_stack_is_kept_though_its_home_is_gone(tmp_path: Path) -> None:
    """Somebody deleted the folder under it; the database is still being written."""
    folder = data_of(tmp_path / "root", "running", tmp_path / "deleted")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "control" / "supervisor.sock"))
        listener.listen()
        remove_leftovers(tmp_path / "root", tmp_path)
        assert folder.exists()
    remove_leftovers(tmp_path / "root", tmp_path)
    assert not folder.exists()
