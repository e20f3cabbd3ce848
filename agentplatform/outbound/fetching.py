"""Fetches a page for a model: from allowed hosts, at public addresses, within size and time, and says what was cut."""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urljoin

from agentplatform.outbound.addresses import AddressRules, UrlRefused, parse_url
from agentplatform.outbound.exchange import NETWORK_ERRORS, Answer, ExchangeFailed, exchange
from agentplatform.outbound.page_text import page_text
from agentplatform.outbound.resolving import Resolve

MAX_REDIRECTS = 5
MAX_BODY_BYTES = 1024 * 1024
"""How much of a page is read, after it has been unpacked."""
MAX_RATIO = 200
"""Text shrinks to a tenth; what unpacks to more than so many times its size is made to fill a memory."""
LEAST_BOMB_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024
ANY_HOST = "*"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TEXTS = ("text/", "application/json", "application/xml", "application/xhtml+xml", "application/javascript")
USER_AGENT = "agentplatform-fetch/1"


class FetchRefused(Exception):
    """Nothing was fetched. `is_hosts`: it speaks against the host, not the request."""

    def __init__(self, code: str, message: str, *, is_hosts: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.is_hosts = is_hosts


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be fetched. `hosts` are names, or `*.example.com` for all below it, or `*` for every public host."""

    hosts: tuple[str, ...]
    rules: AddressRules = field(default_factory=AddressRules)
    max_bytes: int = MAX_BODY_BYTES

    def check(self, url: str) -> None:
        """Raises FetchRefused unless the URL's host is allowed."""
        try:
            host = parse_url(url).host
        except UrlRefused as error:
            raise FetchRefused("invalid_url", str(error)) from error
        if not is_allowed(host, self.hosts):
            raise FetchRefused(
                "host_not_allowed", f"The host is not among those that may be asked: {self._told()}."
            )

    def _told(self) -> str:
        return ", ".join(self.hosts[:20]) or "there are none"


@dataclass(frozen=True, slots=True)
class Page:
    """What was fetched: `text` without markup, where it came from at last, and notes on what was cut."""

    url: str
    status: int
    content_type: str
    text: str
    notes: tuple[str, ...] = ()


def is_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Whether a host is one of `allowed`. `*.example.com` allows what is below example.com, and not that itself."""
    name = host.lower().rstrip(".")
    return any(
        pattern == ANY_HOST
        or name == pattern.lower()
        or (pattern.startswith("*.") and name.endswith(pattern[1:].lower()))
        for pattern in allowed
    )


def fetch(
    url: str, policy: FetchPolicy, *, resolve: Resolve, deadline: float, tls: ssl.SSLContext | None = None
) -> Page:
    """GETs a page, `deadline` on the monotonic clock for all of it. Every redirect is checked like a URL of its own.

    Raises FetchRefused.
    """
    for _ in range(MAX_REDIRECTS + 1):
        policy.check(url)
        try:
            with exchange(
                "GET",
                url,
                {"User-Agent": USER_AGENT, "Accept": "text/*, application/json, application/xml"},
                rules=policy.rules,
                resolve=resolve,
                deadline=deadline,
                tls=tls,
                who="server",
            ) as answer:
                target = answer.headers.get("location")
                if answer.status not in _REDIRECTS or not target:
                    return _page(url, answer, policy.max_bytes, deadline)
        except ExchangeFailed as error:
            raise FetchRefused(error.code, error.message, is_hosts=error.is_hosts) from error
        url = urljoin(url, target.partition("#")[0])
    raise FetchRefused(
        "too_many_redirects", f"The server redirects more than {MAX_REDIRECTS} times.", is_hosts=True
    )


def _page(url: str, answer: Answer, max_bytes: int, deadline: float) -> Page:
    content_type = answer.headers.get("content-type", "").split(";")[0].strip().lower()
    if not (content_type.startswith(_TEXTS) or content_type.endswith(("+json", "+xml"))):
        told = content_type[:60] if content_type.isascii() and content_type else "an unknown type"
        raise FetchRefused("not_text", f"What the server answers is no text ({told}).")
    notes: list[str] = []
    body = _read(answer, max_bytes, deadline, notes)
    text = _decoded(body, answer.headers.get("content-type", ""))
    if "html" in content_type:
        text = page_text(text)
    if answer.status >= 500 or answer.status == 429:
        raise FetchRefused(f"http_{answer.status}", f"The server answered {answer.status}.", is_hosts=True)
    if answer.status >= 400:
        raise FetchRefused(f"http_{answer.status}", f"The server answered {answer.status}.")
    return Page(url, answer.status, content_type, text, tuple(notes))


def _read(answer: Answer, max_bytes: int, deadline: float, notes: list[str]) -> bytes:
    """The body as far as it may be read; what has come is kept where the rest does not come in time."""
    read = bytearray()
    broke_off = False
    try:
        for piece in _unpacked(answer):
            read += piece
            if len(read) > max_bytes:
                notes.append(f"Cut after {max_bytes:,} bytes: the page goes on, perhaps without an end.")
                return bytes(read[:max_bytes])
    except NETWORK_ERRORS:
        if not read:
            raise
        broke_off = True
    # Without a length, a connection that was broken off at the deadline looks like the end of the page.
    if time.monotonic() >= deadline:
        notes.append("Cut where its time was up: the server sends too slowly.")
    elif broke_off:
        notes.append("Cut where the connection broke off: the page goes on.")
    return bytes(read)


def _unpacked(answer: Answer) -> Iterator[bytes]:
    """The body without its compression, a piece at a time, so that no small body becomes a large one at once."""
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        yield from answer.body
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchRefused("unknown_encoding", "The server packs its answer in a way that was not asked for.")
    # 32 more than the usual window: zlib finds out which of the two it is.
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    packed, unpacked = 0, 0
    for chunk in answer.body:
        packed += len(chunk)
        for piece in _pieces(unpacker, chunk):
            unpacked += len(piece)
            if unpacked > max(LEAST_BOMB_BYTES, MAX_RATIO * packed):
                message = f"The server's answer unpacks to more than {MAX_RATIO} times its size: a compression bomb."
                raise FetchRefused("compression_bomb", message, is_hosts=True)
            yield piece


def _pieces(unpacker: zlib._Decompress, chunk: bytes) -> Iterable[bytes]:
    waiting = chunk
    while waiting and not unpacker.eof:
        try:
            piece = unpacker.decompress(waiting, _PIECE_BYTES)
        except zlib.error as error:
            message = "The server's answer cannot be unpacked."
            raise FetchRefused("unreadable_encoding", message, is_hosts=True) from error
        if not piece and unpacker.unconsumed_tail == waiting:
            return
        yield piece
        waiting = unpacker.unconsumed_tail


def _decoded(body: bytes, content_type: str) -> str:
    _, _, rest = content_type.lower().partition("charset=")
    try:
        text = body.decode(rest.split(";")[0].strip(" \"'") or "utf-8", errors="replace")
    except (LookupError, ValueError):
        text = body.decode(errors="replace")
    return text.replace("\x00", "")
