"""From the bytes of a request to a `MessagesRequest`, or to the 400 the API would answer."""

from collections.abc import Mapping
from typing import Any

import orjson

from agentplatform.simulator.authentication import SAMPLING_FREE_VERSION
from agentplatform.simulator.cache_breakpoints import read_prefix
from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.message_validation import check_messages, check_text_blocks, joined_text
from agentplatform.simulator.models import SimulatedModel, find_model
from agentplatform.simulator.request import MessagesRequest
from agentplatform.simulator.tokens import count_input
from agentplatform.simulator.tool_validation import check_schema, check_tool_choice, check_tools

_COUNT_FIELDS = frozenset(
    {
        "model", "messages", "cache_control", "output_config", "output_format", "speed", "system", "thinking",
        "tool_choice", "tools",
    }
)  # fmt: skip
_CREATE_FIELDS = _COUNT_FIELDS | frozenset(
    {
        "max_tokens", "container", "diagnostics", "inference_geo", "metadata", "service_tier", "stop_sequences",
        "stream", "temperature", "top_p", "top_k", "user_profile_id",
    }
)  # fmt: skip
_SAMPLING_FIELDS = ("temperature", "top_p", "top_k")
_EFFORTS = (None, "low", "medium", "high", "xhigh", "max")


def parse_body(body: bytes) -> dict[str, Any]:
    """Return the JSON object a body holds; raises a 400 for anything else."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid_request(f"The request body is not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise invalid_request("The request body must be a JSON object.")
    return fields


def parse_messages_request(fields: Mapping[str, Any], version: str) -> MessagesRequest:
    """Check the fields of `POST /v1/messages`; raises a 400, or a 404 for an unknown model."""
    _check_fields(fields, _CREATE_FIELDS, required=("model", "max_tokens", "messages"))
    model = find_model(_string(fields, "model"))
    max_tokens = _integer(fields["max_tokens"], "max_tokens", minimum=0)
    if max_tokens > model.max_output_tokens:
        raise invalid_request(
            f"max_tokens: {max_tokens} > {model.max_output_tokens}, which is the maximum allowed number of"
            f" output tokens for {fields['model']}"
        )
    _check_sampling(fields, version)
    _check_options(fields, max_tokens)
    return _build(fields, model, max_tokens)


def parse_count_request(fields: Mapping[str, Any], version: str) -> MessagesRequest:
    """Check the fields of `POST /v1/messages/count_tokens`; raises as `parse_messages_request` does."""
    _check_fields(fields, _COUNT_FIELDS, required=("model", "messages"))
    return _build(fields, find_model(_string(fields, "model")), max_tokens=0)


def _build(fields: Mapping[str, Any], model: SimulatedModel, max_tokens: int) -> MessagesRequest:
    tools = check_tools(fields.get("tools"))
    messages = check_messages(fields["messages"], model, has_tools=bool(tools))
    system = _system_text(fields.get("system"))
    schema = _output_schema(fields)
    input_tokens = count_input(messages, system, tools, schema)
    if input_tokens > model.max_input_tokens:
        raise invalid_request(f"prompt is too long: {input_tokens} tokens > {model.max_input_tokens} maximum")
    return MessagesRequest(
        model=model,
        model_id=fields["model"],
        max_tokens=max_tokens,
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=check_tool_choice(fields.get("tool_choice"), tools, model),
        output_schema=schema,
        stop_sequences=tuple(fields.get("stop_sequences") or ()),
        stream=bool(fields.get("stream", False)),
        input_tokens=input_tokens,
        prefix=read_prefix(fields, schema),
    )


def _check_fields(fields: Mapping[str, Any], known: frozenset[str], required: tuple[str, ...]) -> None:
    for name in required:
        if name not in fields:
            raise invalid_request(f"{name}: Field required")
    for name in fields:
        if name not in known:
            raise invalid_request(f"{name}: Extra inputs are not permitted")


def _string(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value:
        raise invalid_request(f"{name}: Input should be a valid, non-empty string")
    return value


def _integer(value: object, path: str, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_request(f"{path}: Input should be a valid integer")
    if value < minimum:
        raise invalid_request(f"{path}: Input should be greater than or equal to {minimum}")
    return value


def _check_sampling(fields: Mapping[str, Any], version: str) -> None:
    for name in _SAMPLING_FIELDS:
        if name not in fields:
            continue
        if version == SAMPLING_FREE_VERSION:
            raise invalid_request(
                f"{name}: not supported under anthropic-version {version}, whatever its value. Leave it out of"
                " the request."
            )
        value = fields[name]
        if name == "top_k":
            _integer(value, name, minimum=0)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise invalid_request(f"{name}: Input should be a number between 0 and 1")


def _check_options(fields: Mapping[str, Any], max_tokens: int) -> None:
    if not isinstance(fields.get("stream", False), bool):
        raise invalid_request("stream: Input should be a valid boolean")
    sequences = fields.get("stop_sequences")
    if sequences is not None:
        if not isinstance(sequences, list) or not all(isinstance(item, str) for item in sequences):
            raise invalid_request("stop_sequences: Input should be a valid list of strings")
        if not all(item.strip() for item in sequences):
            raise invalid_request("stop_sequences: each stop sequence must contain non-whitespace")
    if fields.get("service_tier", "auto") not in ("auto", "standard_only"):
        raise invalid_request("service_tier: Input should be 'auto' or 'standard_only'")
    _check_metadata(fields.get("metadata"))
    _check_thinking(fields.get("thinking"), max_tokens)


def _check_metadata(metadata: object) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or set(metadata) - {"user_id"}:
        raise invalid_request("metadata: Input should be an object with no field but user_id")
    user_id = metadata.get("user_id")
    if user_id is not None and (not isinstance(user_id, str) or len(user_id) > 512):
        raise invalid_request("metadata.user_id: Input should be a string of at most 512 characters")


def _check_thinking(thinking: object, max_tokens: int) -> None:
    if thinking is None:
        return
    kinds = ("adaptive", "enabled", "disabled", "between_tools")
    if not isinstance(thinking, dict) or thinking.get("type") not in kinds:
        raise invalid_request(f"thinking.type: Input should be one of {', '.join(kinds)}")
    if thinking["type"] == "enabled":
        budget = _integer(thinking.get("budget_tokens"), "thinking.budget_tokens", minimum=1024)
        if max_tokens and budget >= max_tokens:
            raise invalid_request("thinking.budget_tokens: `max_tokens` must be greater than the budget")


def _system_text(system: object) -> str:
    if system is None or isinstance(system, str):
        return system or ""
    return joined_text(check_text_blocks(system, "system"))


def _output_schema(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    config = fields.get("output_config")
    if config is not None and not isinstance(config, dict):
        raise invalid_request("output_config: Input should be an object")
    if (config or {}).get("effort") not in _EFFORTS:
        raise invalid_request("output_config.effort: Input should be low, medium, high, xhigh or max")
    path, wanted = "output_config.format", (config or {}).get("format")
    if fields.get("output_format") is not None:
        if wanted is not None:
            raise invalid_request("output_format: send output_config.format alone, not both")
        path, wanted = "output_format", fields["output_format"]
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        raise invalid_request(f"{path}.type: Input should be 'json_schema'")
    return check_schema(wanted.get("schema"), f"{path}.schema")
