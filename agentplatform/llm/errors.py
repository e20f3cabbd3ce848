"""What can go wrong with a model call. No message holds a prompt or an answer."""

from __future__ import annotations

from agentplatform.llm.messages import Usage


class ModelError(Exception):
    """A model call failed.

    `code` is stable; `transient` failures may pass by themselves; `retry_after_seconds` is what the provider
    asked for; `usage` is what it had already billed when the call broke off, `estimated` where it was counted
    here; `request_id` is the provider's.
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
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.transient = transient
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage
        self.request_id = request_id


class Interrupted(ModelError):
    """The call was broken off from our side: its step was cancelled, lost its lease, or ran out of time."""


class UnknownPrice(ModelError):
    """There is no price for the model: a call that cannot be paid for is not made."""


class CostLimitReached(ModelError):
    """The call could cost more than its workflow may still spend: it is not made."""
