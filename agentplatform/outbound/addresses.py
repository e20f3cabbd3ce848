"""Which URLs are taken from strangers, and which addresses are connected to.

A tenant chooses the URL, and the platform connects from inside its own network: an address that only the inside can
reach is refused (server-side request forgery).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_CHARACTERS = 2000
_PORTS = {"http": 80, "https": 443}

# The special-purpose registries of IANA (RFC 6890), by what each range is for. Not `is_global`: what Python means by
# it has changed between versions.
_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by carriers"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        # Of a network's own translator: which bits hold the IPv4 address is its own affair.
        ("64:ff9b:1::/48", "private"),
        ("100::/64", "discarded"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("3fff::/20", "for documentation"),
        ("5f00::/16", "reserved"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
# Ranges whose addresses stand for an IPv4 address: which bits of them hold it, counted from the right.
_EMBEDDING: tuple[tuple[Network, int], ...] = (
    (ipaddress.ip_network("::ffff:0:0/96"), 0),
    (ipaddress.ip_network("::ffff:0:0:0/96"), 0),
    (ipaddress.ip_network("64:ff9b::/96"), 0),
    (ipaddress.ip_network("::/96"), 0),
    (ipaddress.ip_network("2002::/16"), 80),
)


class UrlRefused(ValueError):
    """Nothing can be sent to this URL; the text says why."""


class AddressRefused(ValueError):
    """The host has an address that is not connected to; the text says why."""


@dataclass(frozen=True, slots=True)
class HookUrl:
    """The parts of a URL that matter: where it is connected to, and whether encrypted."""

    scheme: str
    host: str
    port: int


def parse_url(url: str) -> HookUrl:
    """Takes an absolute http or https URL apart. Raises UrlRefused."""
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlRefused(f"The URL is longer than {MAX_URL_CHARACTERS:,} characters.")
    if not url.isascii() or any(character <= " " or character in '\\"<>^`{|}\x7f' for character in url):
        raise UrlRefused("The URL has characters that a URL does not have; encode them.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UrlRefused("The URL cannot be read; check its host and its port.") from error
    if parts.scheme not in _PORTS:
        raise UrlRefused("The URL must begin with https:// or http://.")
    if not host or "%" in host:
        raise UrlRefused("The URL has no host name.")
    if "@" in parts.netloc:
        raise UrlRefused("The URL must not hold a user name or a password.")
    if "#" in url:
        raise UrlRefused("The URL must not have a fragment (#).")
    if port == 0:
        raise UrlRefused("The URL's port must be from 1 to 65535.")
    return HookUrl(parts.scheme, host, port or _PORTS[parts.scheme])


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Which addresses are connected to: public ones, and those of `allowed`."""

    allowed: tuple[Network, ...] = ()

    @classmethod
    def allowing(cls, networks: Iterable[str]) -> AddressRules:
        """Rules that allow these networks (CIDRs) beside the public ones. Raises ValueError for what is none."""
        return cls(tuple(ipaddress.ip_network(network, strict=False) for network in networks))

    def check(self, addresses: Iterable[Address]) -> None:
        """Raises AddressRefused unless each of a host's addresses may be connected to."""
        for address in addresses:
            kind = self.refusal(address)
            if kind is not None:
                # Without the address: names of the inside are not for strangers to look up.
                raise AddressRefused(
                    f"Its host has an address that is {kind}; only public addresses are connected to."
                )

    def refusal(self, address: Address) -> str | None:
        """What an address is that is not connected to, such as `private`; None for one that may be."""
        meant = list(_meant(address))
        if any(one in network for one in meant for network in self.allowed):
            return None
        for one in meant:
            for network, kind in _REFUSED:
                if one in network:
                    return kind
        # What stands for an IPv4 address is judged by that; of the rest only what is assigned to the public.
        if isinstance(address, ipaddress.IPv6Address) and len(meant) == 1 and address not in _GLOBAL_IPV6:
            return "reserved"
        return None


def _meant(address: Address) -> Iterator[Address]:
    """The address, and the IPv4 address that it stands for, if it does."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        for network, shift in _EMBEDDING:
            if address in network:
                yield ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF)
