"""Fetching pages from a hostile server: refused or cut, within the time, and always said."""

from __future__ import annotations

import ipaddress
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from agentplatform.outbound.addresses import Address, AddressRules
from agentplatform.outbound.fetching import MAX_BODY_BYTES, FetchPolicy, FetchRefused, Page, fetch, is_allowed
from agentplatform.outbound.page_text import page_text
from agentplatform.outbound.resolving import NameUnknown, resolve_host
from tests.hostile import HostileServer, hostile_server

HOST = "pages.example.test"
# The server listens on both; one of them stands for the outside, and is allowed alone.
OUTSIDE = "127.0.0.2"
INSIDE = "127.0.0.1"
RULES = AddressRules.allowing([f"{OUTSIDE}/32"])


class Names:
    """A resolver that answers each question for the name with the next of its addresses, the last one for ever."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    def __call__(self, host: str, port: int) -> list[Address]:
        if not host.endswith(".test"):
            return resolve_host(host, port)  # numbers in whatever notation
        if not self.addresses:
            raise NameUnknown
        told = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [ipaddress.ip_address(one) for one in told.split()]


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with hostile_server() as one:
        yield one


def get(
    server: HostileServer,
    path: str,
    names: Names | None = None,
    *,
    seconds: float = 5.0,
    hosts: tuple[str, ...] = ("*",),
    rules: AddressRules = RULES,
) -> Page:
    policy = FetchPolicy(hosts, rules)
    url = path if "://" in path else server.url(path)
    return fetch(url, policy, resolve=names or Names(OUTSIDE), deadline=time.monotonic() + seconds)


def refusal(server: HostileServer, path: str, names: Names | None = None, **options: object) -> FetchRefused:
    with pytest.raises(FetchRefused) as refused:
        get(server, path, names, **options)  # type: ignore[arg-type]
    return refused.value


def test_a_page_is_fetched_and_its_redirects_followed(server: HostileServer) -> None:
    """With where it came from at last."""
    page = get(server, "/to-page")
    assert (page.text, page.notes) == ("The harbour opens at seven.", ())
    assert page.url == server.url("/page")


def test_a_page_is_read_without_its_markup(server: HostileServer) -> None:
    """In its own character set; scripts are no text."""
    assert get(server, "/html").text == "Häfen\nOpens at seven."


def test_a_packed_page_is_unpacked(server: HostileServer) -> None:
    """Though it was not asked for."""
    assert get(server, "/packed").text == "The harbour opens at seven."


@pytest.mark.parametrize("path", ["/to-metadata", "/to-mapped", "/to-decimal", "/to-loopback"])
def test_a_redirect_to_the_inside_is_refused(server: HostileServer, path: str) -> None:
    """In whatever notation the address is written; nothing is asked there."""
    before = len(server.paths)
    error = refusal(server, path)
    assert error.code == "address_refused"
    assert "only public addresses are connected to" in error.message
    assert server.paths[before:] == [path]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/to-file", "invalid_url"),
        ("/to-credentials", "invalid_url"),
        ("/to-itself", "too_many_redirects"),
        ("/endless-headers", "invalid_response"),
        ("/broken-pack", "unreadable_encoding"),
        ("/other-pack", "unknown_encoding"),
        ("/binary", "not_text"),
        ("/down", "http_503"),
        ("/no-http", "invalid_response"),
        ("file:///etc/passwd", "invalid_url"),
        ("gopher://pages.example.test/", "invalid_url"),
    ],
)
def test_what_cannot_be_read_is_refused_and_said(server: HostileServer, path: str, code: str) -> None:
    """By a code, and a sentence that quotes nothing of it."""
    error = refusal(server, path)
    assert error.code == code
    assert error.message


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused(server: HostileServer) -> None:
    """Every hop is held against the list."""
    error = refusal(server, "/to-elsewhere", hosts=(HOST,))
    assert error.code == "host_not_allowed"
    assert HOST in error.message


def test_a_name_that_changes_between_two_hops_is_checked_again(server: HostileServer) -> None:
    """DNS rebinding: the first answer is public, the second is of the inside."""
    before = len(server.paths)
    error = refusal(server, "/to-page", Names(OUTSIDE, INSIDE))
    assert error.code == "address_refused"
    assert server.paths[before:] == ["/to-page"]


def test_a_name_that_changes_after_the_check_changes_nothing(server: HostileServer) -> None:
    """DNS rebinding: it is asked for once for each connection, which goes to the address that was checked."""
    names = Names(OUTSIDE, INSIDE)
    assert get(server, "/page", names).text == "The harbour opens at seven."
    assert names.addresses == [INSIDE]


def test_a_name_with_one_address_of_the_inside_is_refused(server: HostileServer) -> None:
    """Whichever of them would be connected to."""
    assert refusal(server, "/page", Names(f"{OUTSIDE} {INSIDE}")).code == "address_refused"


def test_an_endless_page_is_cut(server: HostileServer) -> None:
    """At the most that is read, with a note."""
    page = get(server, "/endless")
    assert len(page.text) == MAX_BODY_BYTES
    assert page.notes == ("Cut after 1,048,576 bytes: the page goes on, perhaps without an end.",)


@pytest.mark.parametrize("path", ["/drip", "/drip-chunked"])
def test_a_page_that_drips_is_cut_in_time(server: HostileServer, path: str) -> None:
    """What has come is kept, and it is said that more would."""
    began = time.monotonic()
    page = get(server, path, seconds=0.2)
    assert time.monotonic() - began < 1
    assert set(page.text) == {"x"}
    assert page.notes == ("Cut where its time was up: the server sends too slowly.",)


@pytest.mark.parametrize("path", ["/drip-headers", "/silent"])
def test_a_server_that_does_not_come_to_its_page_is_given_up_in_time(
    server: HostileServer, path: str
) -> None:
    """There is nothing to keep."""
    began = time.monotonic()
    assert refusal(server, path, seconds=0.2).code == "timeout"
    assert time.monotonic() - began < 1


def test_a_resolver_that_does_not_answer_is_given_up_in_time(server: HostileServer) -> None:
    """A name's own server may keep who asks it waiting."""
    answered = threading.Event()

    class Silent(Names):
        def __call__(self, host: str, port: int) -> list[Address]:
            answered.wait(30)
            return []

    began = time.monotonic()
    assert refusal(server, "/page", Silent(), seconds=0.2).code == "timeout"
    assert time.monotonic() - began < 1
    answered.set()


def test_a_compression_bomb_is_refused_before_it_goes_off(server: HostileServer) -> None:
    """Two hundred megabytes in two hundred thousand bytes: never more than a piece of it is unpacked."""
    tracemalloc.start()
    error = refusal(server, "/bomb")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.code == "compression_bomb"
    assert "unpacks to more than 200 times its size" in error.message
    assert peak < 16 * 1024 * 1024


def test_a_page_that_breaks_off_is_kept_with_a_note(server: HostileServer) -> None:
    """As far as it came."""
    page = get(server, "/short")
    assert page.text == "The harbour"
    assert page.notes == ("Cut where the connection broke off: the page goes on.",)


@pytest.mark.parametrize(
    ("host", "allowed", "is_so"),
    [
        ("docs.example.com", ("docs.example.com",), True),
        ("DOCS.example.com.", ("docs.example.com",), True),
        ("docs.example.com", ("*.example.com",), True),
        ("example.com", ("*.example.com",), False),
        ("evilexample.com", ("*.example.com",), False),
        ("docs.example.com.evil.test", ("docs.example.com", "*.example.com"), False),
        ("anything.test", ("*",), True),
        ("anything.test", (), False),
    ],
)
def test_only_hosts_of_the_list_are_asked(host: str, allowed: tuple[str, ...], is_so: bool) -> None:
    """By whole labels; a list that is empty allows none."""
    assert is_allowed(host, allowed) is is_so


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<a href='", "&#", "</", "<![CDATA[", "<p><p><p>", "<script>"]
)
def test_no_page_takes_long_to_read(piece: str) -> None:
    """A megabyte of the worst markup is read in a moment."""
    began = time.monotonic()
    page_text((piece * MAX_BODY_BYTES)[:MAX_BODY_BYTES])
    assert time.monotonic() - began < 4
