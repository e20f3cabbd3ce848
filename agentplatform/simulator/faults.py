"""Scripted faults: which calls they hit, how often and for how long, and what they do."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from agentplatform.simulator.errors import ApiError, error_type_for, invalid_request

_TEXT_FIELDS = (
    "model",
    "provider",
    "endpoint",
    "error_type",
    "error_code",
    "message",
    "regain_access_on",
    "stop_reason",
)
_NUMBER_FIELDS = ("retry_after", "delay_seconds", "seconds")
_COUNT_FIELDS = ("status", "break_stream_after", "stream_error_after", "count")
MESSAGES = "messages"
ENDPOINTS = (MESSAGES, "count_tokens", "batches")
STOP_REASONS = ("refusal", "pause_turn", "model_context_window_exceeded", "max_tokens", "end_turn")
_EFFECTS = ("status", "delay_seconds", "break_stream_after", "stream_error_after", "stop_reason")
FAULT_FIELDS = frozenset(_TEXT_FIELDS + _NUMBER_FIELDS + _COUNT_FIELDS)
_STREAM_ERROR_STATUS = 529
# What the API answers with these codes: a spend limit as a bad request, a ramp limit as one to come back from.
_STATUS_BY_CODE = {
    "enforced_spend_limit_reached": 400,
    "contract_spend_limit_reached": 400,
    "ramp_limit_exceeded": 429,
}
_RAMP_RETRY_SECONDS = 60
_LONGEST_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted fault. `model` and `provider` narrow the calls it hits; without them it hits all messages.

    `endpoint` is what it is for: messages, count_tokens or batches (where no model counts).
    `delay_seconds` waits before the first byte; `status` answers that error; `break_stream_after` cuts the
    connection after so many deltas; `stream_error_after` sends `event: error` after so many, under 200;
    `stop_reason` ends the answer with that reason.
    It ends after `count` calls or `seconds`, whichever comes first; without either it stays until cleared.
    """

    model: str | None = None
    provider: str | None = None
    endpoint: str = MESSAGES
    status: int | None = None
    error_type: str | None = None
    error_code: str | None = None
    message: str | None = None
    retry_after: float | None = None
    delay_seconds: float = 0.0
    break_stream_after: int | None = None
    stream_error_after: int | None = None
    stop_reason: str | None = None
    count: int | None = None
    seconds: float | None = None

    def matches(self, model: str | None, provider: str, endpoint: str) -> bool:
        """Whether the fault is meant for calls to this model through this provider at this endpoint."""
        meant = self.model in (None, model) and self.provider in (None, provider)
        return meant and self.endpoint == endpoint

    def error(self) -> ApiError:
        """Return the error it answers with, or sends within a stream."""
        status = self.status or _STREAM_ERROR_STATUS
        error_type = self.error_type or error_type_for(status)
        return ApiError(
            status,
            self.message or f"Scripted fault of the simulator: {error_type}.",
            error_type=error_type,
            error_code=self.error_code,
            retry_after=self.retry_after,
        )


NO_FAULT = Fault()


@dataclass(slots=True)
class _Scripted:
    id: int
    fault: Fault
    expires_at: float | None
    hits: int = 0

    def is_live(self, now: float) -> bool:
        fresh = self.expires_at is None or now < self.expires_at
        return fresh and (self.fault.count is None or self.hits < self.fault.count)


class FaultScript:
    """The faults in force, in the order they were scripted. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self._scripted: list[_Scripted] = []

    def add(self, fault: Fault) -> dict[str, Any]:
        """Script a fault, in force from now on, and return it as listed."""
        expires_at = None if fault.seconds is None else self._clock() + fault.seconds
        scripted = _Scripted(next(self._ids), fault, expires_at)
        self._scripted.append(scripted)
        return self._describe(scripted)

    def take(self, model: str | None, provider: str, endpoint: str = MESSAGES) -> Fault:
        """Return the fault that hits this call: the first scripted that is live and matches, counted once.

        So two faults with counts for the same calls follow each other.
        """
        if not self._scripted:
            return NO_FAULT
        now = self._clock()
        self._scripted = [scripted for scripted in self._scripted if scripted.is_live(now)]
        for scripted in self._scripted:
            if scripted.fault.matches(model, provider, endpoint):
                scripted.hits += 1
                return scripted.fault
        return NO_FAULT

    async def strike(self, endpoint: str, model: str | None, provider: str) -> None:
        """Let the fault for this call do what it does to a whole answer: wait, then raise its error."""
        fault = self.take(model, provider, endpoint)
        await asyncio.sleep(fault.delay_seconds)
        if fault.status is not None:
            raise fault.error()

    def clear(self) -> None:
        """Remove all faults."""
        self._scripted = []

    def describe(self) -> list[dict[str, Any]]:
        """Return the live faults with their remaining counts and seconds."""
        now = self._clock()
        return [self._describe(scripted) for scripted in self._scripted if scripted.is_live(now)]

    def _describe(self, scripted: _Scripted) -> dict[str, Any]:
        fault = scripted.fault
        given = {item.name: getattr(fault, item.name) for item in fields(fault)}
        set_fields = {name: value for name, value in given.items() if value != getattr(NO_FAULT, name)}
        remaining = None if fault.count is None else fault.count - scripted.hits
        left = None if scripted.expires_at is None else round(scripted.expires_at - self._clock(), 3)
        return {
            "id": scripted.id,
            **set_fields,
            "hits": scripted.hits,
            "remaining_count": remaining,
            "remaining_seconds": left,
        }


def parse_fault(sent: Mapping[str, Any]) -> Fault:
    """Return the fault a control request describes; raises a 400 that names what is wrong with it."""
    if unknown := sorted(set(sent) - FAULT_FIELDS):
        raise invalid_request(
            f"{unknown[0]}: unknown field. Known fields: {', '.join(sorted(FAULT_FIELDS))}."
        )
    given = {name: value for name, value in sent.items() if value is not None}
    for name, value in given.items():
        _check_field(name, value)
    if given.get("endpoint", MESSAGES) not in ENDPOINTS:
        raise invalid_request(f"endpoint: Input should be one of {', '.join(ENDPOINTS)}")
    if given.get("stop_reason", STOP_REASONS[0]) not in STOP_REASONS:
        raise invalid_request(f"stop_reason: Input should be one of {', '.join(STOP_REASONS)}")
    given = _with_documented_answer(given)
    if not any(name in given for name in _EFFECTS):
        raise invalid_request(f"The fault does nothing: give at least one of {', '.join(_EFFECTS)}.")
    if not 400 <= given.get("status", 400) <= 599:
        raise invalid_request("status: Input should be an HTTP error status, 400 to 599")
    if not any(name in given for name in ("status", "stream_error_after")):
        for name in ("error_type", "error_code", "message", "retry_after"):
            if name in given:
                raise invalid_request(f"{name}: needs status or stream_error_after")
    return Fault(**given)


def _with_documented_answer(given: dict[str, Any]) -> dict[str, Any]:
    """Complete a fault that names a known error code with the status and wording the API gives it."""
    regain = given.pop("regain_access_on", None)
    code = given.get("error_code")
    if code not in _STATUS_BY_CODE:
        if regain is not None:
            raise invalid_request("regain_access_on: needs the error_code of a spend limit")
        return given
    status = _STATUS_BY_CODE[code]
    if status == 429:
        documented: dict[str, Any] = {"retry_after": _RAMP_RETRY_SECONDS}
        documented["message"] = (
            "This request would exceed your organization's ramp limit: usage grows too fast."
        )
    else:
        at = "" if regain is None else f" You will regain access on {_date(regain)} at 00:00 UTC."
        documented = {"message": f"You have reached your specified API usage limits.{at}"}
    return {"status": status, **documented, **given}


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise invalid_request("regain_access_on: Input should be a date such as 2026-12-01") from None


def _check_field(name: str, value: object) -> None:
    if name in _TEXT_FIELDS:
        if not isinstance(value, str) or not value or not value.isprintable():
            raise invalid_request(f"{name}: Input should be a non-empty, printable string")
        return
    if name in _COUNT_FIELDS:
        smallest = 1 if name == "count" else 0
        if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
            raise invalid_request(f"{name}: Input should be an integer of at least {smallest}")
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_SECONDS:
        raise invalid_request(f"{name}: Input should be a number of seconds from 0 to {_LONGEST_SECONDS}")
