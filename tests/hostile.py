"""A real server, on all addresses of loopback, that answers as no server should, by path, in raw bytes."""

from __future__ import annotations

import contextlib
import gzip
import socketserver
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
Send = Callable[[bytes], None]


@dataclass
class HostileServer:
    """`paths` are what was asked for; nothing that is sent after `ended` is set goes on."""

    port: int
    paths: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "pages.example.test") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def hostile_server() -> Iterator[HostileServer]:
    """The server for as long as the block runs."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked = b""
            while b"\r\n\r\n" not in asked:
                received = self.request.recv(65536)
                if not received:
                    return
                asked += received
            path = asked.split(b" ")[1].decode()
            server.paths.append(path)
            with contextlib.suppress(OSError):
                _ANSWERS[path.split("?")[0]](self.request.sendall, server)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that goes away is what the tests are about."""

    listening = Server(("0.0.0.0", 0), Handler)
    server = HostileServer(listening.server_address[1])
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        listening.shutdown()
        listening.server_close()


def _page(send: Send, server: HostileServer) -> None:
    body = b"The harbour opens at seven."
    send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def _html(send: Send, server: HostileServer) -> None:
    body = "<html><head><title>T</title><script>evil()</script></head><body><h1>Häfen</h1><p>Opens at <b>seven</b>.</p>"
    told = body.encode("latin-1")
    send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=ISO-8859-1\r\nContent-Length: %d\r\n\r\n"
        % len(told)
        + told
    )


def _redirect(to: str) -> Callable[[Send, HostileServer], None]:
    def answer(send: Send, server: HostileServer) -> None:
        target = to.replace("PORT", str(server.port))
        send(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())

    return answer


def _endless(send: Send, server: HostileServer) -> None:
    send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    piece = b"more and more " * 4096
    while not server.ended.is_set():
        send(b"%x\r\n%s\r\n" % (len(piece), piece))


def _endless_headers(send: Send, server: HostileServer) -> None:
    send(b"HTTP/1.1 200 OK\r\n")
    while not server.ended.is_set():
        send(b"X-More: " + b"a" * 4096 + b"\r\n")


def _drip(send: Send, server: HostileServer) -> None:
    send(HEAD + b"\r\n")
    while not server.ended.wait(0.02):
        send(b"x")


def _drip_chunked(send: Send, server: HostileServer) -> None:
    send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not server.ended.wait(0.02):
        send(b"1\r\nx\r\n")


def _drip_headers(send: Send, server: HostileServer) -> None:
    send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not server.ended.wait(0.02):
        send(b"x")


def _silent(send: Send, server: HostileServer) -> None:
    server.ended.wait(30)


def _bomb(send: Send, server: HostileServer) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    send(HEAD + b"Content-Encoding: gzip\r\n\r\n")
    for _ in range(200):  # 200 MB, were it unpacked
        send(packer.compress(b"\0" * 1_000_000))
    send(packer.flush())


def _packed(send: Send, server: HostileServer) -> None:
    body = gzip.compress(b"The harbour opens at seven.")
    send(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def _broken_pack(send: Send, server: HostileServer) -> None:
    send(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!")


def _other_pack(send: Send, server: HostileServer) -> None:
    send(HEAD + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nabcd")


def _binary(send: Send, server: HostileServer) -> None:
    send(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 4\r\n\r\n\x7fELF")


def _short(send: Send, server: HostileServer) -> None:
    send(HEAD + b"Content-Length: 1000\r\n\r\nThe harbour")


def _down(send: Send, server: HostileServer) -> None:
    body = b"down"
    send(b"HTTP/1.1 503 Down\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n" + body)


def _no_http(send: Send, server: HostileServer) -> None:
    send(b"220 mail.example.test ESMTP ready\r\n")
    time.sleep(0.01)


_ANSWERS: dict[str, Callable[[Send, HostileServer], None]] = {
    "/page": _page,
    "/html": _html,
    "/to-page": _redirect("/page"),
    "/to-loopback": _redirect("http://127.0.0.1:PORT/page"),
    "/to-metadata": _redirect("http://169.254.169.254/latest/meta-data/"),
    "/to-mapped": _redirect("http://[::ffff:127.0.0.1]:PORT/page"),
    "/to-decimal": _redirect("http://2130706433:PORT/page"),
    "/to-file": _redirect("file:///etc/passwd"),
    "/to-credentials": _redirect("http://user:pass@pages.example.test/"),
    "/to-itself": _redirect("/to-itself"),
    "/to-elsewhere": _redirect("http://elsewhere.example.test:PORT/page"),
    "/endless": _endless,
    "/endless-headers": _endless_headers,
    "/drip": _drip,
    "/drip-chunked": _drip_chunked,
    "/drip-headers": _drip_headers,
    "/silent": _silent,
    "/bomb": _bomb,
    "/packed": _packed,
    "/broken-pack": _broken_pack,
    "/other-pack": _other_pack,
    "/binary": _binary,
    "/short": _short,
    "/down": _down,
    "/no-http": _no_http,
}
