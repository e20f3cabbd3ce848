"""A call that has its place in the journal and its tier: what the inner layers of the gateway hand on."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

from agentplatform.llm.catalogue import Catalogue, Target, TierSettings
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext
from agentplatform.llm.routing.selection import Selection


@dataclass(frozen=True, slots=True)
class CallPlace:
    """Whose call it is, and its place in its step: the `ordinal`-th, known by the hash of its request."""

    tenant_id: uuid.UUID
    ordinal: int
    request_hash: str


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call on its way to a provider. `target` is None until one has been chosen."""

    request: ModelRequest
    place: CallPlace
    catalogue: Catalogue
    selection: Selection
    target: Target | None = None

    @property
    def settings(self) -> TierSettings:
        return self.catalogue.tiers[self.selection.tier]


class CallLayer(Protocol):
    """Answers a planned call, or raises ModelError."""

    def complete(self, planned: PlannedCall, context: CallContext) -> ModelResponse: ...
