"""Reads of what an operator has set about models."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from django.conf import settings

from agentplatform.llm.catalogue import (
    Catalogue,
    ProviderKind,
    ProviderSettings,
    RateLimits,
    Target,
    TierSettings,
    family_of,
)
from agentplatform.llm.errors import ModelError, UnknownPrice
from agentplatform.llm.pricing import PriceBook, PriceOverride, TokenPrices
from agentplatform.llm.tiers import Tier
from apps.database import release_connection
from apps.gateway.models import ModelPrice, ModelTier, Provider, ProviderRate, TierProvider

MAX_SECRET_BYTES = 64 * 1024


def catalogue() -> Catalogue:
    """Tiers, targets, rates and prices, at most settings.CONFIG_SECONDS old."""
    return _catalogue(int(time.monotonic() / settings.CONFIG_SECONDS))


@functools.lru_cache(maxsize=2)
def _catalogue(_period: int) -> Catalogue:
    try:
        rates: dict[str, list[ProviderRate]] = {}
        for rate in ProviderRate.objects.all():
            rates.setdefault(rate.provider_id, []).append(rate)
        tiers = ModelTier.objects.prefetch_related("targets__provider")
        return Catalogue(
            # A tier that nobody serves is as good as none: its calls go to the next one.
            {Tier(tier.tier): told for tier in tiers if (told := _tier_settings(tier, rates)).targets},
            price_book(ModelPrice.objects.all()),
            batch_min_seconds=settings.BATCH_MIN_SECONDS,
        )
    finally:
        release_connection()


def _tier_settings(tier: ModelTier, rates: Mapping[str, Sequence[ProviderRate]]) -> TierSettings:
    targets = tuple(
        _target(tier.model, row.model_name, row.provider, rates.get(row.provider_id, ()))
        for row in tier.targets.all()
        if row.provider.is_enabled
    )
    return TierSettings(
        tier=Tier(tier.tier),
        targets=targets,
        model=tier.model,
        max_complexity=tier.max_complexity,
        use_cases=frozenset(tier.use_cases),
        context_window_tokens=tier.context_window_tokens,
        max_output_tokens=tier.max_output_tokens,
        min_cache_tokens=tier.min_cache_tokens,
    )


def _target(model: str, model_name: str, provider: Provider, rates: Sequence[ProviderRate]) -> Target:
    own = max(
        (rate for rate in rates if model.startswith(rate.family)),
        key=lambda rate: len(rate.family),
        default=None,
    )
    return Target(
        provider=provider.name,
        model=model,
        model_name=model_name or model,
        kind=ProviderKind(provider.kind),
        family=own.family if own else family_of(model),
        rates=RateLimits(own.requests_per_minute, own.input_tokens_per_minute, own.output_tokens_per_minute)
        if own
        else RateLimits(),
        takes_batches=provider.takes_batches and provider.kind == ProviderKind.ANTHROPIC,
    )


def price_book(overrides: Iterable[ModelPrice]) -> PriceBook:
    """The listed prices, under these overrides."""
    return PriceBook([_override(price) for price in overrides])


def targets_without_price(prices: PriceBook, targets: Iterable[TierProvider]) -> list[str]:
    """Which of these could not be called, since nobody knows what it costs: "model at provider"."""
    unknown = []
    for target in targets:
        provider = target.provider
        try:
            prices.of(
                target.tier.model,
                provider=provider.name,
                listed_as=ProviderKind(provider.kind).listed_as,
            )
        except UnknownPrice:
            unknown.append(f"{target.tier.model} at {provider.name}")
    return sorted(set(unknown))


def _override(price: ModelPrice) -> PriceOverride:
    return PriceOverride(
        provider=price.provider_id or "",
        model=price.model,
        valid_from=price.valid_from,
        prices=TokenPrices(
            input_tokens=price.input_usd,
            output_tokens=price.output_usd,
            cache_write_5m_tokens=price.cache_write_5m_usd,
            cache_write_1h_tokens=price.cache_write_1h_usd,
            cache_read_tokens=price.cache_read_usd,
        ),
        version=f"own price {price.pk} of {price.valid_from}",
    )


def provider_settings(name: str) -> ProviderSettings:
    """How a provider is reached, at most settings.CONFIG_SECONDS old. Raises ModelError where it or its secret is not there."""
    return _provider_settings(name, int(time.monotonic() / settings.CONFIG_SECONDS))


@functools.lru_cache(maxsize=64)
def _provider_settings(name: str, _period: int) -> ProviderSettings:
    try:
        provider = Provider.objects.filter(pk=name).first()
    finally:
        release_connection()
    if provider is None:
        raise _unusable(f"There is no provider '{name}' any more.")
    return settings_of(provider)


def settings_of(provider: Provider) -> ProviderSettings:
    """How a provider is reached. Raises ModelError where its secret is not there."""
    return ProviderSettings(
        name=provider.name,
        kind=ProviderKind(provider.kind),
        secret=_secret(provider),
        base_url=provider.base_url or _usual_base_url(provider),
        region=provider.region,
        project=provider.project,
    )


def report_address(name: str) -> str | None:
    """Where a provider tells what it billed; None where there is no such provider, or it has no API for that."""
    try:
        provider = Provider.objects.filter(pk=name, kind=ProviderKind.ANTHROPIC).first()
    finally:
        release_connection()
    return None if provider is None else provider.base_url or settings.ANTHROPIC_BASE_URL


def _usual_base_url(provider: Provider) -> str:
    """Of the Anthropic API, whose address the environment may change; other kinds know theirs by their region."""
    return settings.ANTHROPIC_BASE_URL if provider.kind == ProviderKind.ANTHROPIC else ""


def _secret(provider: Provider) -> str:
    value = secret_at(provider.secret)
    if provider.secret and not value:
        raise _unusable(f"The secret of provider '{provider.name}' is not there: set {provider.secret}.")
    return value


def secret_at(source: str) -> str:
    """What this process finds at env:NAME or file:/path; nothing where there is nothing."""
    kind, _, place = source.partition(":")
    match kind:
        case "env":
            return os.environ.get(place, "").strip()
        case "file":
            return _read(Path(place)).strip()
    return ""


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_SECRET_BYTES)
    except (OSError, UnicodeDecodeError):
        return ""


def _unusable(message: str) -> ModelError:
    return ModelError("provider_not_configured", message, transient=False)
