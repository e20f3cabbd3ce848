"""POSTs to URLs that strangers chose, to real servers, with a resolver that says what a test wants."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agentplatform.notifications.delivery import AttemptResult
from agentplatform.outbound.addresses import Address, AddressRules
from agentplatform.outbound.resolving import NameUnknown, resolve_host
from apps.notifications.posting import post
from tests.receiver import Receiver, receiving

LOOPBACK = AddressRules.allowing(["127.0.0.0/8"])
PUBLIC = AddressRules()
HOST = "hooks.example.test"


class Names:
    """A resolver that tells of each name what it is set to, and counts the questions."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.questions = 0

    def __call__(self, host: str, port: int) -> list[Address]:
        self.questions += 1
        if not self.addresses:
            raise NameUnknown
        return [ipaddress.ip_address(address) for address in self.addresses]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def send(
    url: str,
    names: Names,
    rules: AddressRules = LOOPBACK,
    tls: ssl.SSLContext | None = None,
    seconds: float = 5.0,
) -> AttemptResult:
    return post(
        url, b'{"a":1}', {"webhook-id": "1"}, rules=rules, resolve=names, timeout_seconds=seconds, tls=tls
    )


def named(receiver: Receiver, path: str = "/hook?a=b") -> str:
    return f"http://{HOST}:{receiver.port}{path}"


def test_it_is_sent_to_the_address_with_the_name_of_the_host(receiver: Receiver) -> None:
    """One POST with the body, the path and the Host of the URL; the name is asked for once."""
    names = Names("127.0.0.1")
    result = send(named(receiver), names)
    assert (result.is_delivered, result.status_code, names.questions) == (True, 204, 1)
    (request,) = receiver.requests
    assert (request.path, request.body) == ("/hook?a=b", b'{"a":1}')
    assert request.headers["host"] == f"{HOST}:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "1"


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("::ffff:127.0.0.1",), ("93.184.215.14", "127.0.0.1")])
def test_no_connection_is_made_to_an_address_of_the_inside(
    receiver: Receiver, addresses: tuple[str, ...]
) -> None:
    """Not even where only one of the host's addresses is."""
    result = send(named(receiver), Names(*addresses), PUBLIC)
    assert (result.error_code, result.status_code, result.is_hosts) == ("address_refused", None, False)
    assert "loopback" in result.error_message
    assert receiver.requests == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_loopback_is_refused_in_every_notation(receiver: Receiver, host: str) -> None:
    """As this machine itself resolves them."""
    url = f"http://{host}:{receiver.port}/"
    result = post(url, b"{}", {}, rules=PUBLIC, resolve=resolve_host, timeout_seconds=5)
    assert result.error_code == "address_refused"
    assert receiver.requests == []


def test_a_name_that_changes_after_the_check_changes_nothing(receiver: Receiver) -> None:
    """DNS rebinding: each connection goes to an address of the one answer that was checked."""
    names = Names("127.0.0.1")
    assert send(named(receiver), names).is_delivered
    names.addresses = ("169.254.169.254",)
    result = send(named(receiver), names)
    assert (result.error_code, names.questions) == ("address_refused", 2)
    assert len(receiver.requests) == 1


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """It fails and says so; nobody asks for its target."""
    receiver.answer(302, Location=f"http://127.0.0.1:{receiver.port}/inside")
    result = send(named(receiver), Names("127.0.0.1"))
    assert (result.status_code, result.error_code) == (302, "redirected")
    assert [request.path for request in receiver.requests] == ["/hook?a=b"]


def test_the_next_address_is_tried_when_one_takes_no_connection(receiver: Receiver) -> None:
    """In the order of the resolver."""
    assert send(named(receiver), Names("127.0.0.2", "127.0.0.1")).is_delivered


def test_only_the_beginning_of_an_answer_is_kept(receiver: Receiver) -> None:
    """200 characters, whatever their encoding, without U+0000."""
    receiver.answer(500, "\x00ü".encode() * 100_000, Retry_After="7")
    result = send(named(receiver), Names("127.0.0.1"))
    assert (result.error_code, result.retry_after_seconds, result.is_hosts) == ("http_500", 7.0, True)
    assert result.response_excerpt == "ü" * len(result.response_excerpt)
    assert 100 < len(result.response_excerpt) <= 200


def test_whoever_cannot_be_reached_is_told_apart() -> None:
    """A name without an address, a host without a server, a URL that is none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert send(f"http://{HOST}/", Names()).error_code == "name_unknown"
    assert send(f"http://{HOST}:{port}/", Names("127.0.0.1")).error_code == "connection_refused"
    assert send("ftp://example.com/", Names("127.0.0.1")).error_code == "address_refused"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_a_server_that_drips_its_answer_is_broken_off(answer: bytes) -> None:
    """The time is for the whole attempt; a byte now and then does not make it longer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                while answer and not over.wait(0.05):
                    connection.sendall(b"x")
                over.wait(5)

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        result = send(f"http://{HOST}:{server.getsockname()[1]}/", Names("127.0.0.1"), seconds=0.3)
        took = time.monotonic() - began
        over.set()
        thread.join()
    assert (result.error_code, result.is_hosts) == ("timeout", True)
    assert took < 2


def test_what_is_no_http_is_an_invalid_response() -> None:
    """And no exception."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def mumble() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=mumble)
        thread.start()
        result = send(f"http://{HOST}:{server.getsockname()[1]}/", Names("127.0.0.1"))
        thread.join()
    assert result.error_code == "invalid_response"


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for a host, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


def test_an_encrypted_endpoint_is_verified_by_its_own_name(tmp_path: Path) -> None:
    """SNI and certificate are of the URL's host, though the connection goes to an address."""
    file = certificate(tmp_path, HOST)
    asked: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    server.sni_callback = lambda _, name, __: asked.append(name)  # type: ignore[assignment, return-value]
    trusting = ssl.create_default_context(cafile=str(file))
    with receiving(server) as receiver:
        address = f"https://{HOST}:{receiver.port}/"
        assert send(address, Names("127.0.0.1"), tls=trusting).is_delivered
        other = f"https://other.example.test:{receiver.port}/"
        assert send(other, Names("127.0.0.1"), tls=trusting).error_code == "certificate_refused"
        assert send(address, Names("127.0.0.1")).error_code == "certificate_refused"
    assert asked == [HOST, "other.example.test", HOST]
    assert len(receiver.requests) == 1


def test_a_server_that_speaks_no_tls_gets_nothing(receiver: Receiver) -> None:
    """The body is not sent in the clear."""
    result = send(f"https://{HOST}:{receiver.port}/", Names("127.0.0.1"), seconds=1.0)
    assert result.error_code in ("tls_failed", "timeout")
    assert receiver.requests == []
