"""What a key's scope lets it do."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.api.authentication import principal_of
from apps.api.errors import Problem


class HasTenantScope(BasePermission):
    """Only a tenant's key: the work of a tenant is done in its own name."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.auth is None:
            return False  # no key: DRF answers 401
        if principal_of(request).tenant is None:
            raise Problem(403, "tenant_key_needed", "This is an operator's key; use a key of the tenant.")
        return True


class HasOperatorScope(BasePermission):
    """Only an operator's key: what is asked concerns every tenant."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.auth is None:
            return False  # no key: DRF answers 401
        if principal_of(request).tenant is not None:
            raise Problem(
                403, "operator_key_needed", "This is a tenant's key; only an operator's may do that."
            )
        return True


class HasAnyScope(BasePermission):
    """A key of a tenant or of an operator: the view shows each what is theirs."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.auth is not None
