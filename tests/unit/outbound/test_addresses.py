"""Which URLs and addresses webhooks are sent to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.outbound.addresses import (
    AddressRefused,
    AddressRules,
    HookUrl,
    UrlRefused,
    parse_url,
)

PUBLIC = AddressRules()


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.19.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::192.168.0.1",
        "2002:0a00:0001::1",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "1::1",
        "4000::1",
    ],
)
def test_an_address_of_the_inside_is_refused(address: str) -> None:
    """In every notation, and inside every address that stands for it."""
    assert PUBLIC.refusal(ip_address(address)) is not None
    with pytest.raises(AddressRefused, match="public addresses"):
        PUBLIC.check([ip_address("93.184.215.14"), ip_address(address)])


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "93.184.215.14",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80b::200e",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2002:0101:0101::1",
    ],
)
def test_a_public_address_is_connected_to(address: str) -> None:
    """Just beside the refused ranges too."""
    assert PUBLIC.refusal(ip_address(address)) is None


def test_an_allowed_network_opens_nothing_but_itself() -> None:
    """By CIDR; also where an IPv6 address stands for one of its addresses."""
    rules = AddressRules.allowing(["10.1.0.0/16", "fd00::/8"])
    for address in ("10.1.2.3", "fd12::1", "::ffff:10.1.2.3"):
        assert rules.refusal(ip_address(address)) is None
    for address in ("10.2.0.1", "127.0.0.1", "fc00::1"):
        assert rules.refusal(ip_address(address)) is not None
    with pytest.raises(ValueError):
        AddressRules.allowing(["10.1.0.0/40"])


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_judged_alike_however_it_is_written(number: int) -> None:
    """As IPv4, mapped into IPv6, behind NAT64 and behind 6to4."""
    kind = PUBLIC.refusal(IPv4Address(number))
    written = (0xFFFF << 32 | number, 0x64_FF9B << 96 | number, 0x2002 << 112 | number << 80 | 1)
    assert [PUBLIC.refusal(IPv6Address(one)) for one in written] == [kind] * 3


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://example.com/hook?a=b", HookUrl("https", "example.com", 443)),
        ("http://example.com", HookUrl("http", "example.com", 80)),
        ("https://EXAMPLE.com:8443/", HookUrl("https", "example.com", 8443)),
        ("http://[::1]:8000/x", HookUrl("http", "::1", 8000)),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: HookUrl) -> None:
    """Into what is connected to."""
    assert parse_url(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://",
        "https:///hook",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:70000/",
        "https://example.com:x/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://exam ple.com/",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com\\@127.0.0.1/",
        "https://bücher.example/",
        "https://example.com/" + "a" * 2000,
    ],
)
def test_what_is_no_url_for_webhooks_is_refused(url: str) -> None:
    """With a sentence that says why."""
    with pytest.raises(UrlRefused, match=r"\.$"):
        parse_url(url)
