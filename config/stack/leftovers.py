"""Data of temporary homes that somebody deleted: as root it lies apart from the home and would stay for ever."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

from config.stack.layout import SYSTEM_ROOT, Layout

NAME_OF_HOME = "home"


def remember_home(layout: Layout) -> None:
    """Note beside the data whose it is."""
    if layout.as_root:
        (layout.control.parent / NAME_OF_HOME).write_text(f"{layout.home}\n")


def remove_leftovers(root: Path = SYSTEM_ROOT, temporary: Path | None = None) -> None:
    """Delete data whose home lay in the temporary folder, is gone, and is not in use.

    Data of any other home is kept, even if that is missing: its disk may only not be mounted."""
    temporary = (temporary or Path(tempfile.gettempdir())).resolve()
    for note in root.glob(f"*/{NAME_OF_HOME}"):
        home = Path(note.read_text().rstrip("\n"))
        if home.is_relative_to(temporary) and not home.exists() and not in_use(note.parent):
            shutil.rmtree(note.parent, ignore_errors=True)


def in_use(folder: Path) -> bool:
    """Whether a supervisord answers there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(folder / "control" / "supervisor.sock")) == 0
