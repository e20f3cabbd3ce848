"""Writes of what belongs to models: the defaults of a new installation, and the history of circuits."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import timedelta

from django.db.models.functions import Now

from agentplatform.execution.circuit import Trip
from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, ProviderKind
from apps.database import OUTAGE_ERRORS, release_connection
from apps.gateway.models import Call, CircuitTrip, ModelTier, Provider, TierProvider

logger = logging.getLogger(__name__)


def providers_ensure() -> None:
    """Creates the Anthropic provider and the tiers that are not there yet; what an operator has changed stays."""
    anthropic, _ = Provider.objects.get_or_create(
        name="anthropic",
        defaults={
            "kind": ProviderKind.ANTHROPIC,
            "secret": "env:ANTHROPIC_API_KEY",
            "takes_batches": True,
        },
    )
    for tier, defaults in DEFAULT_CATALOGUE.tiers.items():
        row, tier_is_new = ModelTier.objects.get_or_create(
            tier=tier,
            defaults={
                "model": defaults.model,
                "max_complexity": defaults.max_complexity,
                "use_cases": sorted(defaults.use_cases),
                "context_window_tokens": defaults.context_window_tokens,
                "max_output_tokens": defaults.max_output_tokens,
                "min_cache_tokens": defaults.min_cache_tokens,
            },
        )
        if tier_is_new:
            TierProvider.objects.get_or_create(tier=row, provider=anthropic)


def responses_erase(workflow_ids: Sequence[uuid.UUID]) -> int:
    """Takes the texts of answers out of the journal of runs that have ended; what they cost stays. Returns of how many."""
    return Call.objects.filter(workflow_id__in=workflow_ids, response__isnull=False).update(response=None)


class TripHistory:
    """A CircuitListener that writes down when circuits open and close. What cannot be written is logged."""

    def opened(self, trip: Trip) -> None:
        logger.warning("circuit %s opened for %.0f s (%s)", trip.key, trip.open_seconds, trip.reason)
        try:
            CircuitTrip.objects.create(
                circuit=trip.key[:200],
                reason=trip.reason[:64],
                open_until=Now() + timedelta(seconds=trip.open_seconds),
            )
        except OUTAGE_ERRORS as error:
            logger.warning("the trip of %s is not written down (%s)", trip.key, type(error).__name__)
        finally:
            release_connection()

    def closed(self, key: str) -> None:
        logger.warning("circuit %s closed", key)
        try:
            CircuitTrip.objects.filter(circuit=key[:200], closed_at=None).update(closed_at=Now())
        except OUTAGE_ERRORS as error:
            logger.warning("that %s has closed is not written down (%s)", key, type(error).__name__)
        finally:
            release_connection()


trips = TripHistory()
