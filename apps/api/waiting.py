"""`Prefer: wait`: a response that is held back until its workflow has ended, without a thread or a connection."""

from __future__ import annotations

import asyncio
import functools
import logging
import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.event_hub import Subscription, hub
from apps.api.threads import give_thread_back, in_request_thread, in_thread
from apps.database import OUTAGE_ERRORS

logger = logging.getLogger(__name__)


class WaitingResponse(Response):
    """What a view answers if its workflow does not end within `seconds`.

    `revise` looks at the workflow, brings this response up to date, and returns whether the workflow has ended.
    """

    def __init__(
        self,
        response: Response,
        workflow_id: uuid.UUID,
        seconds: int,
        revise: Callable[[Response], bool],
    ) -> None:
        super().__init__(response.data, status=response.status_code, headers=dict(response.items()))
        self["Preference-Applied"] = f"wait={seconds}"
        self.workflow_id = workflow_id
        self.seconds = seconds
        self._revise = revise

    async def is_over(self) -> bool:
        """Whether there is nothing more to wait for; this response is then up to date."""
        try:
            return await in_thread(self._revise, self)
        except OUTAGE_ERRORS as error:
            # What the response says already stays true: a submission was accepted.
            logger.warning("a wait goes on: the database does not answer (%s)", type(error).__name__)
            return False


class WaitingView(APIView):
    """A view that may return a WaitingResponse; its methods are synchronous like any other's."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        view = super().as_view(**initkwargs)

        @functools.wraps(view)
        async def waiting(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
            response = await in_request_thread(view, request, *arguments, **named)
            if isinstance(response, WaitingResponse):
                give_thread_back()
                await _wait(response)
            return response

        return waiting


async def _wait(response: WaitingResponse) -> None:
    """Returns when the workflow has ended or the seconds are over. Cancelled when the client goes away."""
    subscription = Subscription(only_end=True)
    until = asyncio.get_running_loop().time() + response.seconds
    async with hub.subscribe(str(response.workflow_id), subscription):
        while True:
            subscription.changed.clear()
            if await response.is_over():
                return
            try:
                async with asyncio.timeout_at(until):
                    await subscription.changed.wait()
            except TimeoutError:
                break
    await response.is_over()
