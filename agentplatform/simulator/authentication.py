"""Who is calling: at the first provider any key is accepted, a missing one is not, and a key may name another."""

import re
from collections.abc import Mapping

from agentplatform.simulator.errors import ApiError, invalid_request

DEFAULT_PROVIDER = "anthropic"
SECOND_PROVIDER = "second"
BEDROCK_PROVIDER = "bedrock"
VERTEX_PROVIDER = "vertex"
SAMPLING_FREE_VERSION = "2026-10-21"
VERSIONS = ("2023-06-01", SAMPLING_FREE_VERSION)
_PROVIDER_KEY = re.compile(r"provider-([A-Za-z0-9_]+)-")


def authenticate(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the provider a request's key stands for, and the key; raises a 401 where there is none.

    A key `provider-NAME-…` names its provider, any other stands for `anthropic`.
    """
    key = _sent_key(headers)
    named = _PROVIDER_KEY.match(key)
    return (named.group(1) if named else DEFAULT_PROVIDER), key


def check_key(headers: Mapping[str, str], expected: str) -> str:
    """Return the request's key; raises a 401 where it is missing or not the expected one."""
    key = _sent_key(headers)
    if key != expected:
        raise ApiError(401, "invalid x-api-key")
    return key


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


def bearer_token(authorization: str) -> str:
    """Return the token of an `Authorization: Bearer` header; empty for any other."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _sent_key(headers: Mapping[str, str]) -> str:
    key = headers.get("x-api-key", "").strip() or bearer_token(headers.get("authorization", ""))
    if not key:
        raise ApiError(
            401, "x-api-key header is required: send an API key as `x-api-key` or `Authorization: Bearer`."
        )
    return key
