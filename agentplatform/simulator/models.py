"""The models the simulator serves, as `GET /v1/models` lists them."""

from dataclasses import dataclass
from typing import Any

from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.pages import as_page, cut_page

_UNKNOWN_RELEASE = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """One model: its limits in tokens and which request features it refuses.

    `line` is the product line (haiku, sonnet, opus, fable, mythos), which sets its latency and its rate
    limits. `min_cacheable_tokens` is the shortest prefix the prompt cache keeps.
    """

    id: str
    display_name: str
    line: str
    max_input_tokens: int = 1_000_000
    max_output_tokens: int = 128_000
    created_at: str = _UNKNOWN_RELEASE
    accepts_forced_tool_use: bool = True
    accepts_prefill: bool = False
    min_cacheable_tokens: int = 1_024

    def as_json(self) -> dict[str, Any]:
        """Return the model as the API's model object."""
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.display_name,
            "created_at": self.created_at,
            "lifecycle": "active",
            "line": self.line,
            "max_input_tokens": self.max_input_tokens,
            "max_tokens": self.max_output_tokens,
            "capabilities": None,
            "deprecated_at": None,
            "retires_at": None,
        }


def _older(
    model_id: str, display_name: str, line: str, created_at: str, min_cacheable_tokens: int
) -> SimulatedModel:
    return SimulatedModel(
        model_id,
        display_name,
        line,
        200_000,
        64_000,
        created_at=created_at,
        accepts_prefill=True,
        min_cacheable_tokens=min_cacheable_tokens,
    )


_CATALOGUE = (
    SimulatedModel("claude-fable-5-2", "Claude Fable 5.2", "fable", min_cacheable_tokens=512),
    SimulatedModel("claude-mythos-5-2", "Claude Mythos 5.2", "mythos", min_cacheable_tokens=512),
    SimulatedModel("claude-haiku-5-5", "Claude Haiku 5.5", "haiku", min_cacheable_tokens=2_048),
    SimulatedModel("claude-sonnet-5-5", "Claude Sonnet 5.5", "sonnet", accepts_forced_tool_use=False),
    SimulatedModel("claude-opus-5-5", "Claude Opus 5.5", "opus"),
    SimulatedModel("claude-fable-5-1", "Claude Fable 5.1", "fable", min_cacheable_tokens=512),
    SimulatedModel("claude-mythos-5-1", "Claude Mythos 5.1", "mythos", min_cacheable_tokens=512),
    SimulatedModel("claude-sonnet-5", "Claude Sonnet 5", "sonnet"),
    SimulatedModel("claude-fable-5", "Claude Fable 5", "fable", min_cacheable_tokens=512),
    SimulatedModel("claude-mythos-5", "Claude Mythos 5", "mythos", min_cacheable_tokens=512),
    SimulatedModel("claude-opus-5", "Claude Opus 5", "opus"),
    SimulatedModel("claude-opus-4-8", "Claude Opus 4.8", "opus"),
    SimulatedModel("claude-opus-4-7", "Claude Opus 4.7", "opus"),
    SimulatedModel("claude-opus-4-6", "Claude Opus 4.6", "opus", min_cacheable_tokens=4_096),
    SimulatedModel("claude-sonnet-4-6", "Claude Sonnet 4.6", "sonnet", min_cacheable_tokens=2_048),
    _older("claude-opus-4-5-20251101", "Claude Opus 4.5", "opus", "2025-11-01T00:00:00Z", 4_096),
    _older("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "haiku", "2025-10-01T00:00:00Z", 4_096),
    _older("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "sonnet", "2025-09-29T00:00:00Z", 1_024),
)
_BY_ID = {model.id: model for model in _CATALOGUE}
_ALIASES = {
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}


def find_model(model_id: str) -> SimulatedModel:
    """Return the model with this id or alias; raises a 404 `not_found_error` for any other."""
    model = _BY_ID.get(_ALIASES.get(model_id, model_id))
    if model is None:
        raise ApiError(404, f"model: {model_id}")
    return model


def names_of_family(line: str) -> list[str]:
    """Return the ids and aliases of the models of one line."""
    ids = [model.id for model in _CATALOGUE if model.line == line]
    return ids + [alias for alias, model_id in _ALIASES.items() if model_id in ids]


def list_models(limit: int, after_id: str | None, before_id: str | None) -> dict[str, Any]:
    """Return one page of the catalogue, newest first, in the API's page shape.

    `after_id` and `before_id` are exclusive cursors; raises a 404 for one that names no model.
    """
    ids = list(_BY_ID)
    after = None if after_id is None else ids.index(find_model(after_id).id)
    before = None if before_id is None else ids.index(find_model(before_id).id)
    page, has_more = cut_page(ids, limit, after, before)
    return as_page([_BY_ID[model_id].as_json() for model_id in page], has_more)
