"""Operations that are asked about before they are done: the page that asks, and what it sends back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret just made, and what is said about it on the one page that shows it."""

    title: str
    name: str
    owner: str
    note: str
    plaintext: str
    back_url: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What is about to be done, in words, with the form for what has to be known first."""

    title: str
    explanation: str
    submit: str
    back_url: str
    form: forms.Form | None = None
    objects: Sequence[str] = ()
    hidden: Sequence[tuple[str, str]] = ()
    is_dangerous: bool = False


def is_confirmed(request: HttpRequest) -> bool:
    """Whether this is the page's answer. Nothing is ever done on a GET, nor on the first POST of a list."""
    return request.method == "POST" and CONFIRMED in request.POST


def confirmed_data(request: HttpRequest) -> Any:
    """What the form of the page is bound to; None when it is shown for the first time."""
    return request.POST if is_confirmed(request) else None


def selection(request: HttpRequest, objects: QuerySet[Any]) -> list[tuple[str, str]]:
    """The hidden fields by which the page sends a list's action back with the same objects."""
    fields = [("action", request.POST.get("action", "")), ("index", "0")]
    return [*fields, *((ACTION_CHECKBOX_NAME, str(item.pk)) for item in objects)]


def operation_page(page: ModelAdmin[Any], request: HttpRequest, operation: Operation) -> TemplateResponse:
    """The page that asks before something is done."""
    request.current_app = page.admin_site.name
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": operation.title,
        "operation": operation,
        "media": operation.form.media if operation.form else "",
    }
    return TemplateResponse(request, "console/operation.html", context)


def secret_page(page: ModelAdmin[Any], request: HttpRequest, secret: Secret) -> TemplateResponse:
    """The page that shows a secret once, as the answer to the POST itself.

    Behind a redirect it would have to be kept somewhere meanwhile.
    """
    context = {**page.admin_site.each_context(request), "opts": page.opts, **asdict(secret)}
    return TemplateResponse(request, "console/secret.html", context)
