"""The SDK's clients: one for each kind of provider, made from what an operator has set."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2

from agentplatform.llm.catalogue import ProviderKind
from agentplatform.llm.providers.interruption import make_interruptible

MAX_CONNECTIONS = 1000
CONNECT_TIMEOUT_SECONDS = 5.0

Client = anthropic.Anthropic | anthropic.AnthropicBedrock | anthropic.AnthropicVertex


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """How a provider is reached.

    `secret` is an API key; for Bedrock a bearer key or "access key id:secret key", for Vertex an access token or the
    JSON of a service account. Without one, Bedrock and Vertex look where their own tools do (environment, profile,
    instance).
    """

    name: str
    kind: ProviderKind
    secret: str = field(default="", repr=False)
    base_url: str = ""
    region: str = ""
    project: str = ""


def client_of(settings: ProviderSettings) -> Client:
    """A client without retries of its own, whose requests can be broken off."""
    http_client = anthropic.DefaultHttpxClient(
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=100)
    )
    make_interruptible(http_client)
    common: dict[str, Any] = {"max_retries": 0, "http_client": http_client}
    if settings.base_url:
        common["base_url"] = settings.base_url
    match settings.kind:
        case ProviderKind.ANTHROPIC:
            return anthropic.Anthropic(api_key=settings.secret, **common)
        case ProviderKind.BEDROCK:
            return anthropic.AnthropicBedrock(
                aws_region=settings.region or None, **_aws_credentials(settings.secret), **common
            )
        case ProviderKind.VERTEX:
            named: dict[str, Any] = {"region": settings.region, "project_id": settings.project}
            given = {name: value for name, value in named.items() if value}
            return anthropic.AnthropicVertex(**given, **_google_credentials(settings.secret), **common)


def _aws_credentials(secret: str) -> dict[str, Any]:
    key_id, colon, secret_key = secret.partition(":")
    if colon:
        return {"aws_access_key": key_id, "aws_secret_key": secret_key}
    return {"api_key": secret} if secret else {}


def _google_credentials(secret: str) -> dict[str, Any]:
    if not secret.lstrip().startswith("{"):
        return {"access_token": secret} if secret else {}
    from google.oauth2 import service_account

    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    account = service_account.Credentials.from_service_account_info(json.loads(secret), scopes=scopes)  # type: ignore[no-untyped-call]
    return {"credentials": account}
