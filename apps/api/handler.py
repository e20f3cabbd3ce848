"""Django's ASGI handler, for requests that Django itself cannot read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpResponseBase

from apps.api.errors import Problem, problem_json


class Handler(ASGIHandler):
    """Answers 400 for headers that no request can be made of, such as a Content-Type with a made-up encoding."""

    def create_request(
        self, scope: Mapping[str, Any], body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        try:
            return super().create_request(scope, body_file)
        except ValueError:
            detail = "The request's headers cannot be read; check its Content-Type."
            return None, problem_json(Problem(400, "bad_request", detail))
