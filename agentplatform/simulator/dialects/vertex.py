"""Google Vertex AI's shape: the model in the path, a bearer token, and Google's errors for what Google refuses.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude
"""

from collections.abc import Mapping
from typing import Any

from agentplatform.simulator.authentication import VERSIONS, VERTEX_PROVIDER, bearer_token
from agentplatform.simulator.dialects.dialect import Caller, ErrorResponse
from agentplatform.simulator.dialects.first_party import FirstPartyDialect
from agentplatform.simulator.errors import ApiError, invalid_request
from agentplatform.simulator.reply import Reply

VERTEX_VERSION = "vertex-2023-10-16"
_SPECIFIERS = {"rawPredict": False, "streamRawPredict": True}
# What the platform answers in front of the model; everything else has the API's own shape.
_GOOGLE_STATUS = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}


class VertexDialect(FirstPartyDialect):
    """`…/models/{model}:rawPredict` and `:streamRawPredict`, and `…/models/count-tokens:rawPredict`."""

    message_prefix = "msg_vrtx"
    sends_rate_limit_headers = False

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the access token that calls; raises a 401 for any but the configured one."""
        token = bearer_token(headers.get("authorization", ""))
        if token != self._access_token:
            raise ApiError(
                401, "Request had invalid authentication credentials. Expected OAuth 2 access token."
            )
        return Caller(VERTEX_PROVIDER, token)

    def prepare(
        self, fields: dict[str, Any], path: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[dict[str, Any], str]:
        """Take model and streaming from the path, the version from the body; a token count names its model."""
        version = fields.pop("anthropic_version", None)
        if version not in (VERTEX_VERSION, *VERSIONS):
            raise invalid_request(
                f"anthropic_version: Input should be '{VERTEX_VERSION}' or a version of the API"
            )
        fields.pop("anthropic_beta", None)
        target = path.get("target")
        if target is not None:
            model, _, specifier = target.rpartition(":")
            if not model or specifier not in _SPECIFIERS:
                raise ApiError(404, f"Publisher model or method not found: {target}")
            if "model" in fields:
                raise invalid_request("model: Extra inputs are not permitted")
            fields["model"], fields["stream"] = model.replace("@", "-"), _SPECIFIERS[specifier]
        return fields, VERSIONS[0] if version == VERTEX_VERSION else version

    def error_response(self, error: ApiError, request_id: str) -> ErrorResponse:
        """Return Google's error object for credentials, permission, unknown models and quota."""
        google = _GOOGLE_STATUS.get(error.status)
        if google is None:
            return super().error_response(error, request_id)
        detail = {"code": error.status, "message": error.message, "status": google}
        return ErrorResponse(error.status, {"error": detail}, error.headers())

    def usage_headers(self, reply: Reply) -> dict[str, str]:
        """Return nothing."""
        return {}
