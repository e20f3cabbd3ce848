"""What can go wrong with a model call. No message holds a prompt or an answer."""

from __future__ import annotations

from agentplatform.llm.messages import Usage


class ModelError(Exception):
    """A model call failed.

    `code` is stable; `transient` failures may pass by themselves; `retry_after_seconds` is what the provider
    asked for; `usage` is what it had already billed when the call broke off, `estimated` where it was counted
    here; `request_id` is the provider's. `is_providers` says that the provider failed, and not the request;
    `unavailable_seconds` for how long it has said that it will not serve, 0 where it has not.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        transient: bool,
        retry_after_seconds: float | None = None,
        usage: Usage | None = None,
        request_id: str = "",
        is_providers: bool = False,
        unavailable_seconds: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.transient = transient
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage
        self.request_id = request_id
        self.is_providers = is_providers
        self.unavailable_seconds = unavailable_seconds


class Interrupted(ModelError):
    """The call was broken off from our side: its step was cancelled, lost its lease, or ran out of time."""


class UnknownPrice(ModelError):
    """There is no price for the model: a call that cannot be paid for is not made."""


class BudgetShort(ModelError):
    """The call could cost more than there is room for, and was not made.

    `room_usd_micros` and `room_tokens` are what there is room for now (None: no limit); `in_flight` says that more may
    come free, since calls are under way that may cost less than was reserved for them; `seconds` is when the window of
    `budget` turns (None: its workflow's own limit, which does not).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        room_usd_micros: int | None = None,
        room_tokens: int | None = None,
        in_flight: bool = False,
        seconds: float | None = None,
        budget: str = "",
    ) -> None:
        super().__init__(code, message, transient=False)
        self.room_usd_micros = room_usd_micros
        self.room_tokens = room_tokens
        self.in_flight = in_flight
        self.seconds = seconds
        self.budget = budget


class CostLimitReached(ModelError):
    """The call could cost more than its workflow may still spend, however small it is made: it is not made."""


class ContextWindowExceeded(ModelError):
    """The request is too large for every tier that it may use, which would take `max_input_tokens`: divide it."""

    def __init__(self, code: str, message: str, *, transient: bool, max_input_tokens: int) -> None:
        super().__init__(code, message, transient=transient)
        self.max_input_tokens = max_input_tokens


class CallDeferred(ModelError):
    """The call is not made now: its step gives its slot up and is run again, which is no failure of it.

    `waiting_for` says what it waits for, and `seconds` for how long at most. One that waits for budget says how much of
    it, as (usd_micros, tokens).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        waiting_for: str,
        seconds: float,
        needs: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(code, message, transient=True, retry_after_seconds=seconds)
        self.waiting_for = waiting_for
        self.seconds = seconds
        self.needs = needs
