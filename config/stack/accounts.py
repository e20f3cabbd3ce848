"""The system user that Postgres runs as when the stack is started as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from config.stack.errors import StackError

SYSTEM_USER = "agentplatform"


def ensure_system_user() -> pwd.struct_passwd:
    """The account, created when missing. Raises StackError when the machine has no way to create it."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        done = subprocess.run(
            [*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise StackError(
            f"Postgres cannot run as root and there is no useradd here. Create the user {SYSTEM_USER}, "
            "or start the stack as an ordinary user."
        ) from None
    try:
        return pwd.getpwnam(SYSTEM_USER)  # another start may have created it at the same moment
    except KeyError:
        raise StackError(f"The system user {SYSTEM_USER} cannot be created: {done.stderr.strip()}") from None


def folder_owned_by(account: pwd.struct_passwd, folder: Path) -> None:
    """Make ``folder`` for ``account`` alone (root enters anyway); its parent must exist and is left as it is."""
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, account.pw_uid, account.pw_gid)
