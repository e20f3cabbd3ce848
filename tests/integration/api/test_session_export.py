"""The export of a session, through the ASGI application that is served: part by part, as its reader takes it."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from apps.api.v1.session_export import ExportBroken
from apps.database import call_function, release_connection
from apps.knowledge.models import Session, Turn
from apps.knowledge.session_selectors import MAX_PAGE_TURNS
from apps.knowledge.session_services import session_empty
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from tests.integration.api.conftest import Api
from tests.integration.api.test_sessions import converse

EXPORT = "/api/v1/sessions/chat-1/export/"

Look = Callable[[int], Awaitable[None]]


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A standard tenant; an export reads on connections of its own."""
    return tenant_create(name="acme", tier="standard")


class Reader:
    """Takes a document part by part; `look` is called with the number of parts so far while the next ones wait."""

    def __init__(self, tenant: Tenant, look: Look | None = None, method: str = "GET") -> None:
        self.key = api_key_issue(name="reader", tenant=tenant).plaintext
        self.look = look
        self.method = method
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.parts: list[bytes] = []
        self.count = 0
        self.largest = self.size = 0
        self.has_ended = False
        self.keeps = True

    def read(self) -> Reader:
        """Asks for the export and takes all of it. Raises what the application raises."""
        release_connection()
        asyncio.run(asyncio.wait_for(self._read(), 30))
        return self

    async def _read(self) -> None:
        from config.asgi import application

        headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {self.key}".encode())]
        scope = {
            "type": "http",
            "method": self.method,
            "path": EXPORT,
            "raw_path": EXPORT.encode(),
            "query_string": b"",
            "headers": headers,
            "http_version": "1.1",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
        }
        asked = asyncio.Queue[dict[str, Any]]()
        asked.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        await application(scope, asked.get, self._take)  # type: ignore[arg-type]

    async def _take(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            return
        self.has_ended = not message.get("more_body", False)
        if body := message.get("body", b""):
            self.count += 1
            self.largest = max(self.largest, len(body))
            self.size += len(body)
            if self.keeps:
                self.parts.append(body)
            if self.look is not None:
                await self.look(self.count)

    @property
    def document(self) -> Any:
        return json.loads(b"".join(self.parts))


def fill(turns: int, text: str = "word ") -> None:
    """Lets as many turns follow what was said in the session, each with this text."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO knowledge_turn (tenant_id, session_id, ordinal, role, text, tokens, workflow_id)
            SELECT s.tenant_id, s.id, s.last_ordinal + n, CASE WHEN n %% 2 = 1 THEN 'user' ELSE 'assistant' END,
                %(text)s || n, ceil(octet_length(%(text)s || n) / 4.0), gen_random_uuid()
            FROM knowledge_session s, generate_series(1, %(turns)s) n""",
            {"text": text, "turns": turns},
        )
        cursor.execute("UPDATE knowledge_session SET last_ordinal = last_ordinal + %s", [turns])


def test_an_export_holds_all_that_is_kept(api: Api, tenant: Tenant) -> None:
    """As a file, whatever stands in it; and so does that of a session in which nothing is left."""
    converse(api, 'A "quoted" <b>é</b> message.', answer="Answer.")
    Session.objects.update(summary="Sum.", summary_until=2)
    reader = Reader(tenant).read()
    assert (reader.status, reader.headers["content-type"]) == (200, "application/json")
    assert reader.headers["content-disposition"].startswith("attachment")
    shown = api.get("/api/v1/sessions/chat-1/").json()
    turns = api.get("/api/v1/sessions/chat-1/turns/").json()["results"]
    assert [turn["text"] for turn in turns] == ['A "quoted" <b>é</b> message.', "Answer."]
    assert reader.document == {**shown, "turns": turns}
    assert list(reader.document)[-1] == "turns"
    Turn.objects.all().delete()
    assert Reader(tenant).read().document["turns"] == []


def test_every_turn_is_exported_once_in_order_whatever_the_pages(api: Api, tenant: Tenant) -> None:
    """Pages end by their number of turns, and earlier where turns are long."""
    converse(api, "Hello.", answer="Hello.")
    fill(2 * MAX_PAGE_TURNS + 7)
    fill(9, "long " * 20_000)
    reader = Reader(tenant).read()
    ordinals = [turn["ordinal"] for turn in reader.document["turns"]]
    assert ordinals == list(range(1, 2 * MAX_PAGE_TURNS + 19))
    assert reader.count > 6
    assert reader.largest < 500_000


def test_what_is_said_meanwhile_is_not_in_it(api: Api, tenant: Tenant) -> None:
    """So that an export ends, however much is said; an answer that comes meanwhile to what was said before is."""
    first = converse(api, "Before.")
    fill(MAX_PAGE_TURNS)

    async def say(count: int) -> None:
        if count == 1:
            await sync_to_async(
                lambda: converse(api, "Meanwhile.", answer="Later."), thread_sensitive=False
            )()
            answered = [[first, "Late."], ["uuid", "text"]]
            await sync_to_async(call_function, thread_sensitive=False)("knowledge_answer", *answered)

    texts = [turn["text"] for turn in Reader(tenant, say).read().document["turns"]]
    assert texts[:2] == ["Before.", "Late."]
    assert "Meanwhile." not in texts


def test_a_slow_reader_holds_no_connection(api: Api, tenant: Tenant) -> None:
    """Whenever the document waits to be taken on, all connections are in the pool, and no transaction is open."""
    converse(api, "Hello.", answer="Hello.")
    fill(2 * MAX_PAGE_TURNS)
    pool: Any = cast(Any, connection).pool
    held = []

    async def look(count: int) -> None:
        told = pool.get_stats()
        held.append(told["pool_size"] - told["pool_available"])

    assert len(Reader(tenant, look).read().document["turns"]) == 2 * MAX_PAGE_TURNS + 2
    assert held == [0] * len(held)
    assert len(held) >= 4


def test_a_long_session_takes_no_more_memory_than_a_page(api: Api, tenant: Tenant) -> None:
    """Of fifteen megabytes no more than a few pages are there at once."""
    converse(api, "Hello.", answer="Hello.")
    fill(3_000, "word " * 1_000)
    reader = Reader(tenant)
    reader.keeps = False
    tracemalloc.start()
    try:
        reader.read()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.size > 15_000_000
    assert peak_bytes < 4_000_000


def test_of_one_that_is_forgotten_meanwhile_the_rest_is_not_told(api: Api, tenant: Tenant) -> None:
    """And what was told of it does not look like the whole."""
    converse(api, "Hello.", answer="Hello.")
    fill(2 * MAX_PAGE_TURNS)
    session_id = Session.objects.get().pk

    async def forget(count: int) -> None:
        if count == 2:
            await sync_to_async(session_empty, thread_sensitive=False)(session_id)

    reader = Reader(tenant, forget)
    with pytest.raises(ExportBroken):
        reader.read()
    assert not reader.has_ended
    assert b"".join(reader.parts).count(b'"ordinal"') == MAX_PAGE_TURNS


def test_asked_for_its_headers_alone_nothing_is_read(api: Api, tenant: Tenant) -> None:
    """HEAD tells what a GET would be."""
    converse(api, "Hello.", answer="Hello.")
    reader = Reader(tenant, method="HEAD").read()
    assert (reader.status, reader.count) == (200, 0)
    assert reader.headers["content-disposition"].startswith("attachment")
