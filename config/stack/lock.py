"""The lock that keeps two stacks from running on one home; the kernel drops it with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from config.stack.errors import UsageError


class HomeLock:
    """Held from ``take`` to ``release``; both may be called again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def take(self) -> None:
        """Raises UsageError, naming the holder's process, when another stack runs on this home."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 20).decode().strip() or "unknown"
            os.close(descriptor)
            raise UsageError(
                f"A stack is already running from {self.path.parent} (process {holder}). "
                "Stop it with Ctrl-C, or set AGENTPLATFORM_HOME to another folder."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def require_free(self) -> None:
        """Raises UsageError as ``take`` does, and leaves nothing behind."""
        if self._descriptor is None and self.path.exists():
            self.take()
            self.release()

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
