"""One POST to a URL that a stranger chose: to checked addresses, within a time, without following redirects.

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
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from agentplatform.notifications.addresses import AddressRefused, AddressRules, UrlRefused, parse_url
from agentplatform.notifications.delivery import AttemptResult, result_of_answer
from apps.notifications.resolving import NameUnknown, Resolve

USER_AGENT = "agentplatform-webhooks/1"
EXCERPT_CHARACTERS = 200
_EXCERPT_BYTES = 4 * EXCERPT_CHARACTERS


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    rules: AddressRules,
    resolve: Resolve,
    timeout_seconds: float,
    tls: ssl.SSLContext | None = None,
) -> AttemptResult:
    """Sends the body, and tells how it ended; nothing is raised for what the other side does."""
    began = time.monotonic()
    try:
        with _Connections(rules, resolve, began + timeout_seconds) as connections:
            status, answered, excerpt = _exchange(url, body, headers, connections, timeout_seconds, tls)
    except (UrlRefused, AddressRefused) as error:
        return _failed(began, "address_refused", str(error), is_hosts=False)
    except NameUnknown as error:
        return _failed(began, "name_unknown", str(error))
    except ValueError:
        return _failed(began, "invalid_url", "The URL's host cannot be connected to.", is_hosts=False)
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
        return _failed(began, *_network_failure(error, time.monotonic() - began >= timeout_seconds))
    return result_of_answer(status, answered, excerpt, time.monotonic() - began, datetime.now(UTC))


def _exchange(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    connections: _Connections,
    timeout_seconds: float,
    tls: ssl.SSLContext | None,
) -> tuple[int, dict[str, str], str]:
    """Status, headers and the beginning of the answer, once its headers are there."""
    parts, written = parse_url(url), urlsplit(url)
    address = httpcore2.URL(
        scheme=parts.scheme,
        host=parts.host,
        port=parts.port,
        target=(written.path or "/") + (f"?{written.query}" if written.query else ""),
    )
    sent: dict[bytes | str, bytes | str] = {
        "Host": written.netloc,
        "User-Agent": USER_AGENT,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    sent.update((name, value) for name, value in headers.items())
    request = httpcore2.Request(
        "POST",
        address,
        headers=sent,
        content=body,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write"), timeout_seconds)},
    )
    with httpcore2.HTTPConnection(
        address.origin, ssl_context=tls or _default_tls(), network_backend=connections
    ) as connection:
        response = connection.handle_request(request)
        answered = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
        }
        return response.status, answered, "" if 200 <= response.status < 300 else _beginning(response)


def _beginning(response: httpcore2.Response) -> str:
    """The first characters of an answer, as far as they come; U+0000 is left out, which no column holds."""
    read = b""
    with contextlib.suppress(httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError):
        assert isinstance(response.stream, Iterable)
        for chunk in response.stream:
            read += chunk
            if len(read) >= _EXCERPT_BYTES:
                break
    text = read[:_EXCERPT_BYTES].decode("utf-8", errors="replace").replace("\x00", "")
    return text[:EXCERPT_CHARACTERS]


class _Connections(httpcore2.NetworkBackend):
    """Connects to checked addresses alone, and breaks off whatever is not done by the deadline.

    A timeout of a socket begins anew with every byte, so that a server may go on for ever with a few of them.
    """

    def __init__(self, rules: AddressRules, resolve: Resolve, deadline: float) -> None:
        self._rules = rules
        self._resolve = resolve
        self._deadline = deadline
        self._inner = httpcore2.SyncBackend()
        self._end = contextlib.ExitStack()

    def __enter__(self) -> _Connections:
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
        addresses = self._resolve(host, port)
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
            return stream
        raise error

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


def _network_failure(error: Exception, is_late: bool) -> tuple[str, str]:
    """The code and the sentence for what went wrong on the way. Texts of exceptions may quote what was sent."""
    if is_late or isinstance(error, httpcore2.TimeoutException):
        return "timeout", "The endpoint did not answer in time."
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return "certificate_refused", "The endpoint's certificate is not valid for its host."
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return "tls_failed", "No encrypted connection to the endpoint came about."
    if isinstance(error, httpcore2.ConnectError):
        return "connection_refused", "The endpoint's host takes no connection."
    if isinstance(error, httpcore2.ProtocolError):
        return "invalid_response", "What the endpoint answered is not HTTP."
    return "connection_lost", "The connection to the endpoint broke off."


def _failed(began: float, code: str, message: str, *, is_hosts: bool = True) -> AttemptResult:
    return AttemptResult(
        time.monotonic() - began, error_code=code, error_message=message[:300], is_hosts=is_hosts
    )
