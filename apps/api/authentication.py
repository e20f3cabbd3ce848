"""Bearer keys, and the principal they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.api.errors import Problem
from apps.api.rate_limits import count_request
from apps.tenants.models import ApiKey, Tenant
from apps.tenants.selectors import api_key_by_plaintext


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sends a request: a tenant's application, or an operator's (`tenant` is None)."""

    api_key: ApiKey
    tenant: Tenant | None
    is_authenticated: bool = True


def principal_of(request: Request) -> Principal:
    """Who sends the request; the view's permission has made sure that somebody does."""
    return cast(Principal, request.auth)


def authenticate(request: HttpRequest) -> Principal | None:
    """The principal of a request's Authorization header; None without one. A tenant's request is counted.

    Raises AuthenticationFailed for a key that is not usable, a 403 Problem for a suspended tenant, and a 429 Problem
    for one that has sent as many requests as it may.
    """
    header = request.headers.get("Authorization", "")
    if not header:
        return None
    scheme, _, plaintext = header.partition(" ")
    if scheme.lower() != "bearer" or not plaintext.strip():
        raise AuthenticationFailed("The Authorization header must read: Bearer <key>.")
    api_key = api_key_by_plaintext(plaintext.strip())
    if api_key is None:
        raise AuthenticationFailed("This key is unknown, revoked or expired; ask your operator for another.")
    if api_key.tenant is not None and not api_key.tenant.is_active:
        raise Problem(
            403,
            "tenant_suspended",
            "This tenant is suspended; its work waits. Ask your operator to reactivate it.",
        )
    if api_key.tenant is not None:
        count_request(request, api_key.tenant)
    return Principal(api_key, api_key.tenant)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`; views find the principal with `principal_of`."""

    def authenticate(self, request: Request) -> tuple[Principal, Principal] | None:
        principal = authenticate(request._request)
        return None if principal is None else (principal, principal)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document names the scheme."""

    target_class = "apps.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
