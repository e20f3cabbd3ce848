"""Who is calling: any key is accepted, a missing one is not, and a key may name its provider."""

import re
from collections.abc import Mapping

from agentplatform.simulator.errors import ApiError, invalid_request

DEFAULT_PROVIDER = "anthropic"
SAMPLING_FREE_VERSION = "2026-10-21"
VERSIONS = ("2023-06-01", SAMPLING_FREE_VERSION)
_PROVIDER_KEY = re.compile(r"provider-([A-Za-z0-9_]+)-")


def authenticate(headers: Mapping[str, str]) -> str:
    """Return the provider a request's key stands for; raises a 401 where there is no key.

    A key `provider-NAME-…` names its provider, any other stands for `anthropic`.
    """
    key = headers.get("x-api-key", "").strip() or _bearer_token(headers.get("authorization", ""))
    if not key:
        raise ApiError(
            401, "x-api-key header is required: send an API key as `x-api-key` or `Authorization: Bearer`."
        )
    named = _PROVIDER_KEY.match(key)
    return named.group(1) if named else DEFAULT_PROVIDER


def api_version(headers: Mapping[str, str]) -> str:
    """Return the request's `anthropic-version`; raises a 400 where it is missing or unknown."""
    version = headers.get("anthropic-version", "")
    if not version:
        raise invalid_request("anthropic-version: header is required")
    if version not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise invalid_request(
            f"anthropic-version: {version!r} is not a valid version. Known versions: {known}."
        )
    return version


def _bearer_token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
