"""From a host's name to the addresses that webhooks may go to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from django.conf import settings

from agentplatform.notifications.addresses import Address, AddressRules, HookUrl, UrlRefused, parse_url
from apps.database import release_connection

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


def address_rules() -> AddressRules:
    """The rules of this installation: public addresses, and WEBHOOK_ALLOWED_NETWORKS."""
    return AddressRules.allowing(settings.WEBHOOK_ALLOWED_NETWORKS)


def check_url(url: str, resolve: Resolve = resolve_host) -> HookUrl:
    """Whether webhooks can be sent to a URL as things are now; they are checked again at every connection.

    Raises UrlRefused or AddressRefused. No database connection is held meanwhile.
    """
    parts = parse_url(url)
    release_connection()
    try:
        address_rules().check(resolve(parts.host, parts.port))
    except NameUnknown as error:
        raise UrlRefused(str(error)) from error
    return parts
