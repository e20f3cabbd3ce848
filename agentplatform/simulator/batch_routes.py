"""The Message Batches API: `/v1/messages/batches` and what lies below."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agentplatform.simulator.authentication import api_version
from agentplatform.simulator.batch import BatchItem
from agentplatform.simulator.dialects.dialect import Caller, Dialect
from agentplatform.simulator.errors import ApiError, invalid_request
from agentplatform.simulator.pages import as_page, cut_page, page_limit
from agentplatform.simulator.provider import Provider
from agentplatform.simulator.replying import make_reply
from agentplatform.simulator.state import SimulatorState
from agentplatform.simulator.validation import parse_body, parse_messages_request

LARGEST_REQUESTS = 100_000
LARGEST_BODY_BYTES = 256 * 1024 * 1024
_LINES_TOGETHER = 100
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class BatchApi:
    """The endpoints of the batches of one provider."""

    def __init__(self, prefix: str, state: SimulatorState, dialect: Dialect) -> None:
        self._base = f"{prefix}/v1/messages/batches"
        self._state = state
        self._dialect = dialect

    def routes(self) -> list[Route]:
        """Return the routes of all endpoints."""
        return [
            Route(self._base, self._create, methods=["POST"]),
            Route(self._base, self._list, methods=["GET"]),
            Route(f"{self._base}/{{id}}", self._retrieve, methods=["GET"]),
            Route(f"{self._base}/{{id}}", self._delete, methods=["DELETE"]),
            Route(f"{self._base}/{{id}}/cancel", self._cancel, methods=["POST"]),
            Route(f"{self._base}/{{id}}/results", self._results, methods=["GET"]),
        ]

    async def _create(self, request: Request) -> Response:
        caller, provider = await self._admit(request)
        version = api_version(request.headers)
        items = parse_batch(parse_body(await _read(request)))

        def answer(params: dict[str, Any]) -> dict[str, Any]:
            if params.get("stream"):
                raise invalid_request("stream: not supported in a batch")
            reply = make_reply(
                provider, caller.key, parse_messages_request(params, version), service_tier="batch"
            )
            return reply.as_json()

        batch = provider.batches.create(items, provider.settings.batches, answer)
        return JSONResponse(batch.as_json(self._state.clock.now(), self._url(request)))

    async def _list(self, request: Request) -> Response:
        _, provider = await self._admit(request)
        store, query = provider.batches, request.query_params
        ids = store.ids()
        after, before = (
            ids.index(store.find(query[name]).id) if name in query else None
            for name in ("after_id", "before_id")
        )
        page, has_more = cut_page(ids, page_limit(query), after, before)
        now, url = self._state.clock.now(), self._url(request)
        return JSONResponse(as_page([store.find(batch_id).as_json(now, url) for batch_id in page], has_more))

    async def _retrieve(self, request: Request) -> Response:
        _, provider = await self._admit(request)
        batch = provider.batches.find(request.path_params["id"])
        return JSONResponse(batch.as_json(self._state.clock.now(), self._url(request)))

    async def _cancel(self, request: Request) -> Response:
        _, provider = await self._admit(request)
        batch = provider.batches.cancel(request.path_params["id"])
        return JSONResponse(batch.as_json(self._state.clock.now(), self._url(request)))

    async def _delete(self, request: Request) -> Response:
        _, provider = await self._admit(request)
        provider.batches.delete(request.path_params["id"])
        return JSONResponse({"id": request.path_params["id"], "type": "message_batch_deleted"})

    async def _results(self, request: Request) -> Response:
        _, provider = await self._admit(request)
        lines = provider.batches.results(request.path_params["id"])
        return StreamingResponse(_chunks(lines), media_type="application/x-jsonl")

    async def _admit(self, request: Request) -> tuple[Caller, Provider]:
        caller = self._dialect.caller(request.headers)
        api_version(request.headers)
        await self._state.faults.strike("batches", None, caller.provider)
        return caller, self._state.providers.named(caller.provider)

    def _url(self, request: Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc}{self._base}"


def parse_batch(fields: dict[str, Any]) -> list[BatchItem]:
    """Return the requests of a new batch, whose parameters are checked later; raises a 400."""
    for name in fields:
        if name != "requests":
            raise invalid_request(f"{name}: Extra inputs are not permitted")
    requests = fields.get("requests")
    if not isinstance(requests, list) or not requests:
        raise invalid_request("requests: Input should be a list with at least 1 item")
    if len(requests) > LARGEST_REQUESTS:
        raise invalid_request(f"requests: at most {LARGEST_REQUESTS} requests are allowed in a batch")
    items = [_item(entry, f"requests.{index}") for index, entry in enumerate(requests)]
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item.custom_id in seen:
            raise invalid_request(
                f"requests.{index}.custom_id: {item.custom_id!r} is not unique in the batch"
            )
        seen.add(item.custom_id)
    return items


def _item(entry: object, path: str) -> BatchItem:
    if not isinstance(entry, dict):
        raise invalid_request(f"{path}: Input should be an object with custom_id and params")
    for name in entry:
        if name not in ("custom_id", "params"):
            raise invalid_request(f"{path}.{name}: Extra inputs are not permitted")
    custom_id, params = entry.get("custom_id"), entry.get("params")
    if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
        raise invalid_request(f"{path}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    if not isinstance(params, dict):
        raise invalid_request(f"{path}.params: Input should be an object")
    return BatchItem(custom_id, orjson.dumps(params))


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY_BYTES:
            raise ApiError(413, f"Request exceeds the maximum size of {LARGEST_BODY_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


async def _chunks(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    pending: list[bytes] = []
    for line in lines:
        pending.append(line)
        if len(pending) >= _LINES_TOGETHER:
            yield b"".join(pending)
            pending.clear()
    yield b"".join(pending)
