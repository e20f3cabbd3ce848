"""One request to a URL that a stranger chose: to checked addresses, within a time, without following redirects.

A name is resolved once, its addresses are checked, and the connection goes to one of those: a name that changes
afterwards changes nothing. Host and SNI are the URL's. No proxy is used.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from agentplatform.outbound.addresses import Address, AddressRefused, AddressRules, UrlRefused, parse_url
from agentplatform.outbound.resolving import NameUnknown, Resolve

NO_HOST = "The URL's host cannot be connected to."
NETWORK_ERRORS = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose headers are there; their names are in lower case. `body` comes as it is asked for."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]


class ExchangeFailed(Exception):
    """No answer came. `is_hosts`: it speaks against the host, not the request; `was_sent`: the request may have arrived."""

    def __init__(self, code: str, message: str, *, is_hosts: bool = True, was_sent: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.is_hosts = is_hosts
        self.was_sent = was_sent


@contextlib.contextmanager
def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    rules: AddressRules,
    resolve: Resolve,
    deadline: float,
    tls: ssl.SSLContext | None = None,
    who: str = "endpoint",
) -> Iterator[Answer]:
    """Sends a request, and gives its answer within the block. `deadline` is on the monotonic clock, for all of it.

    `who` is what messages call the other side. Raises ExchangeFailed, also within the block while the body is read.
    """
    connections = CheckedConnections(rules, resolve, deadline)
    try:
        with connections, _connection(url, connections, tls) as (connection, request_url):
            request = _request(method, url, request_url, headers, body, deadline - time.monotonic())
            response = _handled(connection, request)
            answered = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            assert isinstance(response.stream, Iterable)
            yield Answer(response.status, answered, response.stream)
    except (UrlRefused, AddressRefused) as error:
        raise ExchangeFailed("address_refused", str(error), is_hosts=False) from error
    except NameUnknown as error:
        raise ExchangeFailed("name_unknown", str(error)) from error
    except NETWORK_ERRORS as error:
        code, message = network_failure(error, is_late=time.monotonic() >= deadline, who=who)
        raise ExchangeFailed(code, message, was_sent=connections.is_connected) from error


@contextlib.contextmanager
def _connection(
    url: str, connections: CheckedConnections, tls: ssl.SSLContext | None
) -> Iterator[tuple[httpcore2.HTTPConnection, httpcore2.URL]]:
    parts, written = parse_url(url), urlsplit(url)
    try:
        address = httpcore2.URL(
            scheme=parts.scheme,
            host=parts.host,
            port=parts.port,
            target=(written.path or "/") + (f"?{written.query}" if written.query else ""),
        )
    except ValueError as error:
        raise ExchangeFailed("invalid_url", NO_HOST, is_hosts=False) from error
    with httpcore2.HTTPConnection(
        address.origin, ssl_context=tls or _default_tls(), network_backend=connections
    ) as connection:
        yield connection, address


def _handled(connection: httpcore2.HTTPConnection, request: httpcore2.Request) -> httpcore2.Response:
    try:
        return connection.handle_request(request)
    except (UrlRefused, AddressRefused):
        raise
    except ValueError as error:  # a host that TLS takes for none
        raise ExchangeFailed("invalid_url", NO_HOST, is_hosts=False) from error


def _request(
    method: str,
    url: str,
    address: httpcore2.URL,
    headers: Mapping[str, str],
    body: bytes | None,
    seconds_left: float,
) -> httpcore2.Request:
    sent: dict[bytes | str, bytes | str] = {
        "Host": urlsplit(url).netloc,
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if body is not None:
        sent["Content-Length"] = str(len(body))
    sent.update((name, value) for name, value in headers.items())
    return httpcore2.Request(
        method,
        address,
        headers=sent,
        content=body,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write"), max(0.001, seconds_left))},
    )


class CheckedConnections(httpcore2.NetworkBackend):
    """Connects to checked addresses alone, and breaks off whatever is not done by the deadline.

    A timeout of a socket begins anew with every byte, so that a server may go on for ever with a few of them.
    """

    def __init__(self, rules: AddressRules, resolve: Resolve, deadline: float) -> None:
        self.is_connected = False
        self._rules = rules
        self._resolve = resolve
        self._deadline = deadline
        self._inner = httpcore2.SyncBackend()
        self._end = contextlib.ExitStack()

    def __enter__(self) -> CheckedConnections:
        return self

    def __exit__(self, *_: object) -> None:
        # In the reverse order: the descriptor would be another's if the timer still went off.
        self._end.close()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = self._resolved(host, port)
        self._rules.check(addresses)
        error: Exception = NameUnknown()
        for address in addresses:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise httpcore2.ConnectTimeout
            try:
                stream = self._inner.connect_tcp(str(address), port, left, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failure:
                error = failure
                continue
            self._break_off_at_the_deadline(stream.get_extra_info("socket"))
            self.is_connected = True
            return stream
        raise error

    def _resolved(self, host: str, port: int) -> list[Address]:
        """The addresses of the host, if they are told by the deadline: nothing else bounds how long a resolver asks."""
        told: list[list[Address] | Exception] = []

        def ask() -> None:
            try:
                told.append(self._resolve(host, port))
            except Exception as error:  # noqa: BLE001 - raised again by who waits
                told.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(max(0.0, self._deadline - time.monotonic()))
        if not told:
            raise httpcore2.ConnectTimeout
        if isinstance(told[0], Exception):
            raise told[0]
        return told[0]

    def _break_off_at_the_deadline(self, connected: socket.socket) -> None:
        # Another descriptor of the same connection: TLS takes the first one for itself.
        guard = connected.dup()

        def break_off() -> None:
            with contextlib.suppress(OSError):
                guard.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), break_off)
        timer.daemon = True
        timer.start()
        self._end.callback(guard.close)
        self._end.callback(timer.cancel)


@functools.cache
def _default_tls() -> ssl.SSLContext:
    return httpcore2.default_ssl_context()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def network_failure(error: Exception, *, is_late: bool, who: str = "endpoint") -> tuple[str, str]:
    """The code and the sentence for what went wrong on the way. Texts of exceptions may quote what was sent."""
    if is_late or isinstance(error, httpcore2.TimeoutException):
        return "timeout", f"The {who} did not answer in time."
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return "certificate_refused", f"The {who}'s certificate is not valid for its host."
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return "tls_failed", f"No encrypted connection to the {who} came about."
    if isinstance(error, httpcore2.ConnectError):
        return "connection_refused", f"The {who}'s host takes no connection."
    if isinstance(error, httpcore2.ProtocolError):
        return "invalid_response", f"What the {who} answered is not HTTP."
    return "connection_lost", f"The connection to the {who} broke off."
