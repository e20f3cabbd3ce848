"""Django's CommonMiddleware, for clients that send more than GET."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpResponsePermanentRedirect
from django.middleware import common


class _Redirect(HttpResponsePermanentRedirect):
    """The method and the body go along."""

    status_code = HTTPStatus.PERMANENT_REDIRECT


class CommonMiddleware(common.CommonMiddleware):
    """Redirects a path without its last slash; a submission stays one, where a 301 would make it a GET."""

    response_redirect_class = _Redirect
