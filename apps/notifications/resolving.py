"""Which addresses this installation connects to, for webhooks and for tools."""

from __future__ import annotations

from django.conf import settings

from agentplatform.outbound.addresses import AddressRules, HookUrl, UrlRefused, parse_url
from agentplatform.outbound.resolving import NameUnknown, Resolve, resolve_host
from apps.database import release_connection


def address_rules() -> AddressRules:
    """The rules of this installation: public addresses, and WEBHOOK_ALLOWED_NETWORKS."""
    return AddressRules.allowing(settings.WEBHOOK_ALLOWED_NETWORKS)


def check_url(url: str, resolve: Resolve = resolve_host) -> HookUrl:
    """Whether a URL can be connected to as things are now; it is checked again at every connection.

    Raises UrlRefused or AddressRefused. No database connection is held meanwhile.
    """
    parts = parse_url(url)
    release_connection()
    try:
        address_rules().check(resolve(parts.host, parts.port))
    except NameUnknown as error:
        raise UrlRefused(str(error)) from error
    return parts
