"""The Model protocol: providers, and the gateway's layers around them, are all models."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.caching.policy import CacheControl
from agentplatform.llm.catalogue import RateLimits
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.restraint import UNRESTRAINED, Restraint
from agentplatform.llm.tiers import Tier


@dataclass(frozen=True, slots=True)
class RateReport:
    """What a provider said of its rates in its answer: limits a minute, and how much of them is left."""

    limits: RateLimits = field(default_factory=RateLimits)
    remaining: RateLimits = field(default_factory=RateLimits)
    received_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class CallContext:
    """The circumstances of a call: how long it may take, who wants to stop it, who listens to its tokens.

    `deadline` is its attempt's, `workflow_deadline` its workflow's; `tolerates_delay` says that the answer may come
    much later, to another attempt. `queue` is its step's; `max_tier` the highest tier that its tenant may use at the
    moment, and `restraint` what budgets ask of it; `cache_control` is what its submission said of caches. `model` is what the provider calls the model, set for each call; `sent_at` when that was sent, in seconds of
    the monotonic clock; and `rates` what the provider said of its rates in its answer.
    `interrupt` calls what `on_interrupt` was given, from another thread: the provider closes its socket.
    """

    deadline: Deadline
    model: str = ""
    queue: str = ""
    workflow_deadline: Deadline | None = None
    tolerates_delay: bool = False
    max_tier: Tier | None = None
    restraint: Restraint = UNRESTRAINED
    cache_control: CacheControl = CacheControl.UNSAID
    sent_at: float | None = None
    rates: RateReport | None = None
    degradations: list[Mapping[str, str]] = field(default_factory=list)
    on_text: Callable[[str], None] | None = None
    on_restart: Callable[[], None] | None = None
    _has_spoken: bool = False
    _interrupted: threading.Event = field(default_factory=threading.Event)
    _close: Callable[[], None] | None = None

    @property
    def is_interrupted(self) -> bool:
        return self._interrupted.is_set()

    @property
    def must_stop(self) -> bool:
        """Whether the call should be broken off: somebody asked for it, or its time is up."""
        return self.is_interrupted or self.deadline.has_passed

    def pause(self, seconds: float) -> bool:
        """Waits; returns whether the call may go on, which it may not once it must stop."""
        self._interrupted.wait(min(seconds, max(0.0, self.deadline.seconds_left)))
        return not self.must_stop

    def text(self, delta: str) -> None:
        """A model has answered `delta` more: those who listen hear it."""
        self._has_spoken = True
        if self.on_text is not None:
            self.on_text(delta)

    def restart_text(self) -> None:
        """What a model has said so far is void: it broke off, or another one is asked instead."""
        if self._has_spoken and self.on_restart is not None:
            self.on_restart()
        self._has_spoken = False

    def on_interrupt(self, close: Callable[[], None] | None) -> None:
        """Registers how to break the call off; called at once if that has been asked for already."""
        self._close = close
        if close is not None and self._interrupted.is_set():
            close()

    def degrade(self, code: str, message: str, **more: str) -> None:
        """Notes that something is not as asked for: it is said with the result."""
        note = {"code": code, "message": message, **more}
        if note not in self.degradations:
            self.degradations.append(note)

    def interrupt(self) -> None:
        """Breaks the call off; safe from any thread, and more than once."""
        self._interrupted.set()
        close = self._close
        if close is not None:
            close()


class Model(Protocol):
    """Answers a request, or raises ModelError."""

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse: ...


class Provider(Model, Protocol):
    """A model that is called over a network."""

    def count_tokens(self, request: ModelRequest, model: str, context: CallContext) -> int | None:
        """How many input tokens the request has; None where the provider does not count. Raises ModelError."""
