"""From a host's name to its addresses."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from agentplatform.outbound.addresses import Address

Resolve = Callable[[str, int], list[Address]]
"""The addresses of a host, in the order in which they are tried. Raises NameUnknown."""


class NameUnknown(Exception):
    """The host has no address, or nobody says which."""

    def __init__(self) -> None:
        super().__init__("Its host name has no address; check it.")


def resolve_host(host: str, port: int) -> list[Address]:
    """As this machine resolves names; a number in any notation is its own address. Raises NameUnknown."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameUnknown from error
    return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))
