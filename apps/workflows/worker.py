"""One execution worker process: its executor, and what becomes of it when a worker starts and stops."""

from __future__ import annotations

import functools
import gc
import os
import socket
import sys
import uuid
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings

from agentplatform.agents.registry import registry
from agentplatform.agents.tools.toolbox import Tools
from agentplatform.execution.executor import ContinuationLimits, Executor
from agentplatform.execution.running import RunningSteps
from agentplatform.llm.caching.verifying import PairVerifier
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.routing.complexity import Complexity, ComplexityScorer, RoutingInput
from agentplatform.memory.room import SessionRoom
from apps.context_cache import context_cache
from apps.gateway.answers import shared_answers
from apps.gateway.gate import shared_gate
from apps.gateway.providers import load_sdk, provider
from apps.gateway.selectors import catalogue
from apps.tools.source import DatabaseTools, tool_breaker
from apps.workflows.accounting import accounts
from apps.workflows.batching import DatabaseBatchLane
from apps.workflows.heartbeat import WorkerHeartbeat, WorkerIdentity
from apps.workflows.reports import StepReports
from apps.workflows.step_runs import DatabaseStepRuns
from apps.workflows.store import DatabaseCallStore, DatabaseStepStore
from apps.workflows.tool_calls import DatabaseToolCallStore

running_steps = RunningSteps()
"""The steps that this process runs."""

SWITCH_INTERVAL_SECONDS = 0.0005

WORKER_NAME = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
"""This process, unlike any before it: a restarted worker does not inherit the leases of the one it replaces."""


@functools.cache
def executor() -> Executor:
    """The executor of this process, made at its first step."""
    return Executor(
        store=DatabaseStepStore(WORKER_NAME),
        calls=DatabaseCallStore(),
        gateway=gateway(),
        find_agent=registry.find_agent,
        running=running_steps,
        reports=StepReports(_event_dispatcher),
        limits=ContinuationLimits(settings.CONTINUATION_MAX_STEPS, settings.CONTINUATION_MAX_SECONDS),
        context_cache=context_cache(),
        runs=DatabaseStepRuns(),
        tools=Tools(DatabaseTools(), tool_breaker(), DatabaseToolCallStore()),
        session_room=SessionRoom(settings.SESSION_WINDOW_SHARE, settings.SESSION_CONTEXT_TOKENS),
    )


@functools.cache
def gateway() -> Gateway:
    """The door to models of this process."""
    return Gateway(
        catalogue=catalogue,
        providers=provider,
        gate=shared_gate(),
        score=_score,
        batch_lane=DatabaseBatchLane(),
        answers=shared_answers(),
        verifier=PairVerifier.load,
    )


def _score(told: RoutingInput) -> Complexity:
    # Read at the first request that is scored: a worker whose steps are all pinned never needs it.
    return ComplexityScorer.load().score(told)


class _Process:
    """What this process is once Celery has started it."""

    consumer: Any = None
    heartbeat: WorkerHeartbeat | None = None


def _event_dispatcher() -> Any:
    return getattr(_Process.consumer, "event_dispatcher", None)


def _consumed_queues() -> tuple[str, ...]:
    """The queues that this worker serves now: those of its command line, unless it is lent to another.

    They are what Celery consumes from again after it has lost its broker.
    """
    return tuple(sorted(_Process.consumer.app.amqp.queues.consume_from))


@worker_ready.connect
def _start_heartbeat(sender: Any, **_: Any) -> None:
    _Process.consumer = sender
    load_sdk()
    identity = WorkerIdentity(
        name=WORKER_NAME,
        node=sender.hostname,
        home=_consumed_queues(),
        slots=sender.controller.concurrency,
    )
    _Process.heartbeat = WorkerHeartbeat(identity, queues=_consumed_queues, running=running_steps)
    _Process.heartbeat.start()
    accounts.start()
    # What a worker has loaded by now it keeps: collecting around it again and again is a tenth of its time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    # A thread that comes back from the database or a model has little to do: the usual 5 ms would make it wait long.
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    running_steps.drain()


@worker_shutdown.connect
def _stop_heartbeat(**_: Any) -> None:
    accounts.tell()
    if _Process.heartbeat is not None:
        _Process.heartbeat.stop()
