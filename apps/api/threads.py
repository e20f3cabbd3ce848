"""Threads for what an async view asks the database, and none while it waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async

from apps.database import release_connection

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What the function returns, run in a thread that all requests share; its connection goes back at once."""
    return await sync_to_async(_releasing, thread_sensitive=False)(function, *arguments, **named)


async def in_request_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The same in the request's own thread, where Django runs its synchronous views."""
    return await sync_to_async(_releasing, thread_sensitive=True)(function, *arguments, **named)


def give_thread_back() -> None:
    """Ends the thread of this request; if it is needed once more, there is another.

    Django keeps a thread for each request until its response is sent, which for one that waits may be hours.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context is not None else None
    if executor is not None:
        executor.shutdown(wait=False)


def _releasing(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    try:
        return function(*arguments, **named)
    finally:
        release_connection()
