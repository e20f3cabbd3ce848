"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from agentplatform.llm.messages import Usage
from agentplatform.simulator.calls import Call
from agentplatform.simulator.connection import ClientDisconnected, Connection
from agentplatform.simulator.dialects.dialect import Caller, Dialect
from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.faults import Fault
from agentplatform.simulator.latency import Pace, draw_pace
from agentplatform.simulator.provider import Provider
from agentplatform.simulator.reply import Reply, finish_reply, stopped_as
from agentplatform.simulator.replying import draft_reply
from agentplatform.simulator.request import MessagesRequest
from agentplatform.simulator.state import SimulatorState
from agentplatform.simulator.streaming import closing_event, content_events, opening_event
from agentplatform.simulator.validation import parse_body, parse_count_request, parse_messages_request

COALESCE_SECONDS = 0.1
_CLIENT_CLOSED_REQUEST = 499


class ConnectionCut(Exception):
    """A scripted fault ends the connection here; the response stays incomplete."""


class MessagesEndpoint:
    """Answers messages in one provider's dialect, whole or as a stream, and keeps the log of calls."""

    def __init__(self, state: SimulatorState, dialect: Dialect) -> None:
        self._state = state
        self._dialect = dialect

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
                answered = self._dialect.error_response(error, connection.request_id)
                status = answered.status
                await connection.send_json(*answered)
            else:
                status = 200
                await connection.write(self._dialect.frame_error(error, connection.request_id), last=True)
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
        caller = self._dialect.caller(connection.headers)
        call.provider = caller.provider
        provider = self._state.providers.named(caller.provider)
        fields, version = self._dialect.prepare(parse_body(body), connection.path, connection.headers)
        call.describe(fields)
        request = parse_messages_request(fields, version)
        cached = provider.prefix_cache.look_up(caller.key, request)
        provider.limiter.admit(caller.key, request.model.line, request.input_tokens - cached.read)
        fault = self._state.faults.take(request.model_id, caller.provider)
        await connection.sleep(fault.delay_seconds)
        if fault.status is not None or (fault.stream_error_after is not None and not request.stream):
            raise fault.error()
        draft, call.right = draft_reply(provider, request)
        reply = finish_reply(request, draft, prefix=self._dialect.message_prefix, cached=cached)
        if fault.stop_reason is not None:
            reply = stopped_as(reply, fault.stop_reason)
        pace = draw_pace(
            request.model.line, digest, seed=self._state.settings.seed, scale=self._scale(provider)
        )
        await connection.sleep(pace.first_token_seconds)
        provider.prefix_cache.commit(caller.key, request)
        call.bill(reply)
        exchange = _Exchange(connection, call, reply, pace, fault, self._dialect)
        headers = self._headers(provider, caller, request, reply)
        try:
            await (exchange.stream(headers) if request.stream else exchange.send_whole(headers))
        finally:
            provider.limiter.charge_output(caller.key, request.model.line, call.output_tokens)
            provider.billing.add(request.model.id, _billed_usage(reply, call.output_tokens))

    def _scale(self, provider: Provider) -> float:
        own = provider.settings.latency_scale
        return self._state.settings.latency_scale if own is None else own

    def _headers(
        self, provider: Provider, caller: Caller, request: MessagesRequest, reply: Reply
    ) -> dict[str, str]:
        headers = {"cache-control": "no-cache", **self._dialect.usage_headers(reply)}
        if self._dialect.sends_rate_limit_headers:
            headers |= provider.limiter.headers(
                caller.key, request.model.line, reply.input_tokens, reply.output_tokens
            )
        return headers


@dataclass(slots=True)
class _Exchange:
    """The sending of one reply, at its pace, with the fault that was scripted for it."""

    connection: Connection
    call: Call
    reply: Reply
    pace: Pace
    fault: Fault
    dialect: Dialect

    async def send_whole(self, headers: dict[str, str]) -> None:
        await self.connection.sleep(self.pace.per_token_seconds * self.reply.output_tokens)
        self.call.output_tokens = self.reply.output_tokens
        if self.fault.break_stream_after is None:
            await self.connection.send_json(200, self.reply.as_json(), headers)
            return
        await self.connection.start(200, "application/json", headers)
        await self.connection.write(b'{"id":')
        raise ConnectionCut

    async def stream(self, headers: dict[str, str]) -> None:
        await self.connection.start(200, self.dialect.stream_content_type, headers)
        await self.connection.write(opening_event(self.reply, self.dialect.frame))
        await self._stream_content()
        self.call.output_tokens = self.reply.output_tokens
        await self.connection.write(closing_event(self.reply, self.dialect.frame), last=True)

    async def _stream_content(self) -> None:
        """Send the deltas when they are due, those due within a tenth of a second together."""
        pending: list[bytes] = []
        deltas, tokens, owed_seconds = 0, 0, 0.0
        fault_after = self._fault_after()
        for event in content_events(self.reply, self.dialect.frame):
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


def _billed_usage(reply: Reply, output_tokens: int) -> Usage:
    """What a reply is billed for once so much of it was sent."""
    return Usage(
        input_tokens=reply.input_tokens,
        output_tokens=output_tokens,
        cache_write_5m_tokens=reply.cached.written_5m,
        cache_write_1h_tokens=reply.cached.written_1h,
        cache_read_tokens=reply.cached.read,
    )


class CountTokensEndpoint:
    """Counts the input tokens of a request; it costs no time, and only a fault scripted for it hits it."""

    def __init__(self, state: SimulatorState, dialect: Dialect) -> None:
        self._state = state
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one count."""
        connection = Connection(scope, receive, send)
        try:
            counted = await self._count(connection)
        except ApiError as error:
            await connection.send_json(*self._dialect.error_response(error, connection.request_id))
        except ClientDisconnected:
            return
        else:
            await connection.send_json(200, {"input_tokens": counted}, {})

    async def _count(self, connection: Connection) -> int:
        body = await connection.read_body()
        caller = self._dialect.caller(connection.headers)
        fields, version = self._dialect.prepare(parse_body(body), connection.path, connection.headers)
        request = parse_count_request(fields, version)
        await self._state.faults.strike("count_tokens", request.model_id, caller.provider)
        return request.input_tokens
