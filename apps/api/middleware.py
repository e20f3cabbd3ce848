"""Django's CommonMiddleware, for clients that send more than GET; WhiteNoise, for requests that wait; rate limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect
from django.middleware import common
from whitenoise import middleware as whitenoise

from apps.api.rate_limits import add_headers


class _Redirect(HttpResponsePermanentRedirect):
    """The method and the body go along."""

    status_code = HTTPStatus.PERMANENT_REDIRECT


class CommonMiddleware(common.CommonMiddleware):
    """Redirects a path without its last slash; a submission stays one, where a 301 would make it a GET."""

    response_redirect_class = _Redirect


class StaticFilesMiddleware(whitenoise.WhiteNoiseMiddleware):
    """Serves static files, and hands on everything else without a thread that waits for the answer."""

    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self._answer(request) if iscoroutinefunction(self) else super().__call__(request)

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if self.autorefresh:
            found = await sync_to_async(self.find_file)(request.path_info)
        else:
            found = self.files.get(request.path_info)
        if found is not None:
            return await sync_to_async(self.serve)(found, request)
        return await self.get_response(request)


class RateLimitMiddleware:
    """Says in every answer to a tenant's request how many more it may send."""

    async_capable = True
    sync_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer(request)
        response: HttpResponseBase = self.get_response(request)
        add_headers(request, response)
        return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        add_headers(request, response)
        return response
