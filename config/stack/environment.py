"""What the children of a stack find in their environment: a pure function of what was given and what is known."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from config.stack.ports import LOOPBACK

SERVER_VARIABLES = {"postgres": "DATABASE_URL", "broker": "BROKER_URL", "cache": "REDIS_URL"}
FLOWER_USER = "operator"


def is_simulated(given: Mapping[str, str]) -> bool:
    """Whether answers come from the local simulator: there is no key, or an outer stack already said so."""
    return not given.get("ANTHROPIC_API_KEY") or given.get("AGENTPLATFORM_SIMULATOR") == "1"


def children_environment(
    given: Mapping[str, str],
    *,
    home: Path,
    ports: Mapping[str, int],
    secrets: Mapping[str, str],
    server_urls: Mapping[str, str],
    embedder_socket: Path,
) -> dict[str, str]:
    """``given``, completed: addresses of the servers, generated secrets, ports, and where models answer.

    What is given wins over what was generated; an empty value counts as not given."""
    generated = {
        "DJANGO_SECRET_KEY": secrets["django_secret_key"],
        "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{secrets['flower_password']}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "EMBEDDER_SOCKET": str(embedder_socket),
        **server_urls,
    }
    environment = {key: value for key, value in given.items() if value or key not in generated}
    environment = generated | environment
    environment |= {variable: str(port) for variable, port in ports.items()}
    environment |= {
        "AGENTPLATFORM_HOME": str(home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), given.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }
    if is_simulated(given):
        environment |= {
            "AGENTPLATFORM_SIMULATOR": "1",
            "ANTHROPIC_API_KEY": "simulator",
            "ANTHROPIC_BASE_URL": f"http://{LOOPBACK}:{ports['SIMULATOR_PORT']}",
        }
    return environment
