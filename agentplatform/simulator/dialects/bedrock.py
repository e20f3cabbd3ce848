"""Amazon Bedrock's shape: the model in the path, AWS event streams, AWS credentials and AWS errors.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

import orjson

from agentplatform.simulator.authentication import (
    BEDROCK_PROVIDER,
    VERSIONS,
    bearer_token,
)
from agentplatform.simulator.dialects.dialect import Caller, ErrorResponse
from agentplatform.simulator.dialects.event_stream import encode_message, event_headers, exception_headers
from agentplatform.simulator.errors import ApiError, invalid_request
from agentplatform.simulator.reply import Reply

BEDROCK_VERSION = "bedrock-2023-05-31"
_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[A-Z0-9]{16,128})/(?P<date>\d{8})/[a-z0-9-]+/bedrock/aws4_request, ?"
    r"SignedHeaders=[a-z0-9;-]+, ?Signature=[0-9a-f]{64}"
)
_SIGNED_AT = re.compile(r"(?P<date>\d{8})T\d{6}Z")
# A model id, an inference profile's id (a region before it), or the ARN of either.
_MODEL_ID = re.compile(
    r"(?:arn:aws[^ ]*/)?(?:[a-z]{2,6}\.)?anthropic\.(?P<name>claude-[a-z0-9-]+?)(?:-v\d+(?::\d+)?)?"
)
_EXCEPTIONS = {
    400: (400, "ValidationException"),
    401: (403, "UnrecognizedClientException"),
    402: (400, "ServiceQuotaExceededException"),
    403: (403, "AccessDeniedException"),
    404: (404, "ResourceNotFoundException"),
    408: (408, "ModelTimeoutException"),
    413: (400, "ValidationException"),
    424: (424, "ModelErrorException"),
    429: (429, "ThrottlingException"),
    500: (500, "InternalServerException"),
    503: (503, "ServiceUnavailableException"),
    504: (408, "ModelTimeoutException"),
    529: (503, "ServiceUnavailableException"),
}


class BedrockDialect:
    """`POST /model/{model}/invoke`, or `/invoke-with-response-stream`.

    A SigV4 header must be well formed and its access key the configured one; the signature itself is not
    checked. A Bedrock API key as bearer token is accepted too.
    """

    stream_content_type = "application/vnd.amazon.eventstream"
    message_prefix = "msg_bdrk"
    sends_rate_limit_headers = False

    def __init__(self, *, access_key: str, api_key: str, stream: bool) -> None:
        self._access_key = access_key
        self._api_key = api_key
        self._stream = stream

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the access key or API key that calls; raises ApiError for any other."""
        authorization = headers.get("authorization", "")
        if not authorization:
            raise ApiError(403, "Missing Authentication Token")
        if token := bearer_token(authorization):
            if token != self._api_key:
                raise ApiError(403, "Authentication failed: Please make sure your API Key is valid.")
            return Caller(BEDROCK_PROVIDER, token)
        signed = _SIGNATURE.fullmatch(authorization)
        signed_at = _SIGNED_AT.fullmatch(headers.get("x-amz-date", ""))
        if signed is None or signed_at is None or signed["date"] != signed_at["date"]:
            raise ApiError(
                403, "Authorization header must be a SigV4 signature for bedrock with an X-Amz-Date."
            )
        if signed["key"] != self._access_key:
            raise ApiError(401, "The security token included in the request is invalid.")
        return Caller(BEDROCK_PROVIDER, signed["key"])

    def prepare(
        self, fields: dict[str, Any], path: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[dict[str, Any], str]:
        """Take model and streaming from the path, the version from the body."""
        for name in ("model", "stream"):
            if name in fields:
                raise invalid_request(f"{name}: Extra inputs are not permitted")
        version = fields.pop("anthropic_version", None)
        if version not in (BEDROCK_VERSION, *VERSIONS):
            raise invalid_request(
                f"anthropic_version: Input should be '{BEDROCK_VERSION}' or a version of the API"
            )
        fields.pop("anthropic_beta", None)
        named = _MODEL_ID.fullmatch(path["model"])
        if named is None:
            raise invalid_request("The provided model identifier is invalid.")
        fields["model"], fields["stream"] = named["name"], self._stream
        return fields, VERSIONS[0] if version == BEDROCK_VERSION else version

    def frame(self, name: str, payload: bytes) -> bytes:
        """Return one `chunk` event, which carries the API's event as base64; pings are not sent."""
        if name == "ping":
            return b""
        chunk = orjson.dumps({"bytes": base64.b64encode(payload).decode()})
        return encode_message(event_headers("chunk"), chunk)

    def frame_error(self, error: ApiError, request_id: str) -> bytes:
        """Return an exception message, named as the stream's union names it."""
        name = _exception(error)[1]
        payload = orjson.dumps({"message": error.message})
        return encode_message(exception_headers(name[0].lower() + name[1:]), payload)

    def error_response(self, error: ApiError, request_id: str) -> ErrorResponse:
        """Return an AWS error: its type in `x-amzn-errortype`, its message alone in the body."""
        status, name = _exception(error)
        retry = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
        return ErrorResponse(status, {"message": error.message}, {"x-amzn-errortype": name, **retry})

    def usage_headers(self, reply: Reply) -> dict[str, str]:
        """Return the token counts as Bedrock's headers."""
        counts = {
            "input": reply.input_tokens,
            "output": reply.output_tokens,
            "cache-read-input": reply.cached.read,
            "cache-write-input": reply.cached.written,
        }
        return {f"x-amzn-bedrock-{name}-token-count": str(count) for name, count in counts.items()}


def _exception(error: ApiError) -> tuple[int, str]:
    known = _EXCEPTIONS.get(error.status)
    if known is not None:
        return known
    return (error.status, "InternalServerException" if error.status >= 500 else "ValidationException")
