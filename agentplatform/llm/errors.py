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


class CostLimitReached(ModelError):
    """The call could cost more than its workflow may still spend: it is not made."""


class ContextWindowExceeded(ModelError):
    """The request is too large for every tier that it may use, which would take `max_input_tokens`: divide it."""

    def __init__(self, code: str, message: str, *, transient: bool, max_input_tokens: int) -> None:
        super().__init__(code, message, transient=transient)
        self.max_input_tokens = max_input_tokens


class CallDeferred(ModelError):
    """The call is not made now: its step gives its slot up and is run again, which is no failure of it.

    `waiting_for` says what it waits for, and `seconds` for how long at most.
    """

    def __init__(self, code: str, message: str, *, waiting_for: str, seconds: float) -> None:
        super().__init__(code, message, transient=True, retry_after_seconds=seconds)
        self.waiting_for = waiting_for
        self.seconds = seconds
