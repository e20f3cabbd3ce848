"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from agentplatform.simulator.answering import draft_answer
from agentplatform.simulator.authentication import api_version, authenticate
from agentplatform.simulator.calls import Call, CallLog
from agentplatform.simulator.connection import ClientDisconnected, Connection
from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.faults import Fault, FaultScript
from agentplatform.simulator.latency import Pace, draw_pace
from agentplatform.simulator.ratelimits import rate_limit_headers
from agentplatform.simulator.reply import Reply, finish_reply
from agentplatform.simulator.settings import SimulatorSettings
from agentplatform.simulator.streaming import closing_event, content_events, encode_error, opening_event
from agentplatform.simulator.validation import parse_body, parse_count_request, parse_messages_request

COALESCE_SECONDS = 0.1
_CLIENT_CLOSED_REQUEST = 499


class ConnectionCut(Exception):
    """A scripted fault ends the connection here; the response stays incomplete."""


@dataclass(slots=True)
class SimulatorState:
    """What one simulator process holds."""

    settings: SimulatorSettings
    calls: CallLog = field(default_factory=CallLog)
    faults: FaultScript = field(default_factory=lambda: FaultScript(time.monotonic))


class MessagesEndpoint:
    """Answers messages, whole or as a stream, and keeps the log of calls."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call. Returning with an unfinished response makes the server close the connection."""
        connection = Connection(scope, receive, send)
        call = self._state.calls.begin(connection.request_id)
        status, outcome = 500, "error"
        try:
            await self._serve(connection, call)
            status, outcome = 200, "completed"
        except ApiError as error:
            if not connection.response_started:
                status = error.status
                await connection.send_error(error)
            else:
                status = 200
                await connection.write(encode_error(error, connection.request_id), last=True)
        except ConnectionCut:
            status, outcome = 200, "cut"
        except (ClientDisconnected, OSError):
            status = 200 if connection.response_started else _CLIENT_CLOSED_REQUEST
            outcome = "client_disconnected"
        finally:
            self._state.calls.finish(call, status, outcome)

    async def _serve(self, connection: Connection, call: Call) -> None:
        body = await connection.read_body()
        call.request_sha256 = digest = hashlib.sha256(body).hexdigest()
        call.idempotency_key = connection.headers.get("idempotency-key")
        call.provider = authenticate(connection.headers)
        version = api_version(connection.headers)
        fields = parse_body(body)
        call.describe(fields)
        request = parse_messages_request(fields, version)
        fault = self._state.faults.take(request.model_id, call.provider)
        await connection.sleep(fault.delay_seconds)
        if fault.status is not None or (fault.stream_error_after is not None and not request.stream):
            raise fault.error()
        reply = finish_reply(request, draft_answer(request))
        settings = self._state.settings
        pace = draw_pace(request.model.line, digest, seed=settings.seed, scale=settings.latency_scale)
        await connection.sleep(pace.first_token_seconds)
        call.input_tokens = reply.input_tokens
        exchange = _Exchange(connection, call, reply, pace, fault)
        await (exchange.stream() if request.stream else exchange.send_whole())


@dataclass(slots=True)
class _Exchange:
    """The sending of one reply, at its pace, with the fault that was scripted for it."""

    connection: Connection
    call: Call
    reply: Reply
    pace: Pace
    fault: Fault

    async def send_whole(self) -> None:
        await self.connection.sleep(self.pace.per_token_seconds * self.reply.output_tokens)
        self.call.output_tokens = self.reply.output_tokens
        headers = self._headers()
        if self.fault.break_stream_after is None:
            await self.connection.send_json(200, self.reply.as_json(), headers)
            return
        await self.connection.start(200, "application/json", headers)
        await self.connection.write(b'{"id":')
        raise ConnectionCut

    async def stream(self) -> None:
        await self.connection.start(200, "text/event-stream; charset=utf-8", self._headers())
        await self.connection.write(opening_event(self.reply))
        await self._stream_content()
        self.call.output_tokens = self.reply.output_tokens
        await self.connection.write(closing_event(self.reply), last=True)

    async def _stream_content(self) -> None:
        """Send the deltas when they are due, those due within a tenth of a second together."""
        pending: list[bytes] = []
        deltas, tokens, owed_seconds = 0, 0, 0.0
        fault_after = self._fault_after()
        for event in content_events(self.reply):
            if event.is_delta and deltas == fault_after:
                break
            pending.append(event.data)
            deltas += event.is_delta
            tokens += event.tokens
            owed_seconds += event.tokens * self.pace.per_token_seconds
            if owed_seconds >= COALESCE_SECONDS:
                await self.connection.sleep(owed_seconds)
                await self._flush(pending, tokens)
                owed_seconds = 0.0
        await self.connection.sleep(owed_seconds)
        await self._flush(pending, tokens)
        if fault_after is not None:
            raise ConnectionCut if self._is_cut() else self.fault.error()

    async def _flush(self, pending: list[bytes], tokens: int) -> None:
        self.call.output_tokens = min(tokens, self.reply.output_tokens)
        if tokens and self.call.first_token_at is None:
            self.call.first_token_at = datetime.now(UTC)
        if pending:
            await self.connection.write(b"".join(pending))
            pending.clear()

    def _fault_after(self) -> int | None:
        points = (self.fault.break_stream_after, self.fault.stream_error_after)
        return min((point for point in points if point is not None), default=None)

    def _is_cut(self) -> bool:
        return self.fault.break_stream_after == self._fault_after()

    def _headers(self) -> dict[str, str]:
        limits = rate_limit_headers(datetime.now(UTC), self.reply.input_tokens, self.reply.output_tokens)
        return {**limits, "cache-control": "no-cache", "anthropic-organization-id": "simulator"}


class CountTokensEndpoint:
    """Counts the input tokens of a request; it costs no time and no fault hits it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one count."""
        connection = Connection(scope, receive, send)
        try:
            body = await connection.read_body()
            authenticate(connection.headers)
            version = api_version(connection.headers)
            request = parse_count_request(parse_body(body), version)
        except ApiError as error:
            await connection.send_error(error)
        except ClientDisconnected:
            return
        else:
            await connection.send_json(200, {"input_tokens": request.input_tokens}, {})
