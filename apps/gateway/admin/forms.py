"""What an operator may set about tiers, providers and prices, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextInputWidget

from agentplatform.llm.catalogue import ProviderKind
from agentplatform.llm.tiers import Tier
from apps.gateway.models import ModelPrice, ModelTier, Provider, TierProvider
from apps.gateway.selectors import price_book, targets_without_price

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]*")
_OWN_VARIABLES = re.compile(r"(DJANGO|DATABASE|BROKER|REDIS|FLOWER|CELERY|AGENTPLATFORM)_")
_OWN_PLACES = ("/proc", "/sys", "/dev")

NO_PRICE = "There is no price for {}. Finance sets one under Prices; or choose what genai-prices lists."


def check_model(model: str) -> str:
    """A model's name. Raises ValidationError."""
    if not _MODEL.fullmatch(model):
        raise ValidationError(
            "A model's name has letters, digits and . _ : @ - only, such as claude-haiku-5-5."
        )
    return model


class ModelTierForm(forms.ModelForm):
    """Refuses tiers that are out of order, and use cases that are none."""

    def clean_model(self) -> str:
        return check_model(self.cleaned_data["model"])

    def clean_use_cases(self) -> list[str]:
        given = self.cleaned_data["use_cases"] or []
        if not isinstance(given, list) or not all(isinstance(one, str) and one.strip() for one in given):
            raise ValidationError('Give a list of strings, such as ["extract_data.extract"], or [] for none.')
        use_cases = sorted({one.strip() for one in given})
        for other in ModelTier.objects.exclude(pk=self.instance.pk):
            taken = set(use_cases) & set(other.use_cases)
            if taken:
                raise ValidationError(f"'{min(taken)}' is sent to {other} already; take it away there first.")
        return use_cases

    def clean_max_complexity(self) -> float:
        limit = float(self.cleaned_data["max_complexity"])
        tier = Tier(self.instance.tier)
        if tier.above is None and limit != 1.0:
            raise ValidationError("The highest tier takes all that is left: its limit is 1.0.")
        for other in ModelTier.objects.exclude(pk=tier.value):
            rank = Tier(other.tier).rank
            if rank < tier.rank and other.max_complexity > limit:
                raise ValidationError(
                    f"It cannot be below that of {other}, which is {other.max_complexity:g}."
                )
            if rank > tier.rank and other.max_complexity < limit:
                raise ValidationError(
                    f"It cannot be above that of {other}, which is {other.max_complexity:g}."
                )
        return limit

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        window, output = cleaned.get("context_window_tokens"), cleaned.get("max_output_tokens")
        if output is not None and output < 1:
            self.add_error(
                "max_output_tokens", "A model that answers nothing is of no use: choose 1 or more."
            )
        elif window is not None and output is not None and window <= output:
            self.add_error(
                "context_window_tokens", f"The window has to hold more than the output of {output:,}."
            )
        return cleaned


class TierProviderFormSet(forms.BaseInlineFormSet):
    """Refuses providers at which nobody knows what the tier's model costs."""

    def clean(self) -> None:
        super().clean()
        prices = price_book(ModelPrice.objects.all())
        for form in self.forms:
            provider = form.cleaned_data.get("provider")
            if provider is None or form.cleaned_data.get("DELETE") or not self.instance.model:
                continue
            target = TierProvider(tier=self.instance, provider=provider)
            for unknown in targets_without_price(prices, [target]):
                form.add_error("provider", NO_PRICE.format(unknown))


class ProviderForm(forms.ModelForm):
    """Refuses addresses that are none or carry a secret, and secrets that are not a provider's."""

    base_url = forms.CharField(
        label="Base URL",
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Where it is reached; empty for the usual address of its kind.",
    )

    def _get_validation_exclusions(self) -> set[str]:
        # The model's validator knows no host names without a dot, such as those of containers.
        return {*super()._get_validation_exclusions(), "base_url"}  # type: ignore[misc]

    def clean_base_url(self) -> str:
        url = str(self.cleaned_data["base_url"])
        try:
            parts = urlsplit(url)
            has_port = parts.port is None or parts.port > 0
        except ValueError:
            raise ValidationError("This is no address.") from None
        if not url:
            return url
        if "@" in parts.netloc:
            raise ValidationError(
                "Leave user and password out of the address: say under Secret where the key is."
            )
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or not has_port
            or re.search(r"\s", url)
        ):
            raise ValidationError("Give an address that begins with https:// or http:// and has a host.")
        if parts.query or parts.fragment:
            raise ValidationError("Leave out what follows ? or #: paths of the API are added to the address.")
        return url.rstrip("/")

    def clean_secret(self) -> str:
        source = str(self.cleaned_data["secret"])
        kind, _, place = source.partition(":")
        if kind == "env" and _OWN_VARIABLES.match(place):
            raise ValidationError(f"{place} is this platform's own and is sent to no provider.")
        if kind == "file":
            path = Path(place).resolve()
            if any(path.is_relative_to(own) for own in (*_OWN_PLACES, settings.HOME)):
                raise ValidationError(
                    "This file is the system's or this platform's own; put the key into another."
                )
        return source

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind = cleaned.get("kind")
        if kind == ProviderKind.ANTHROPIC and not cleaned.get("secret") and "secret" not in self.errors:
            self.add_error("secret", "An Anthropic provider needs a key: say where it is.")
        if kind == ProviderKind.VERTEX and not cleaned.get("region"):
            self.add_error("region", "Vertex needs a region.")
        if kind != ProviderKind.ANTHROPIC and cleaned.get("takes_batches"):
            self.add_error("takes_batches", "Only providers of kind Anthropic take batches.")
        if kind and not self.instance._state.adding:
            self._check_prices(kind)
        return cleaned

    def _check_prices(self, kind: str) -> None:
        """Another kind has other prices."""
        served = TierProvider.objects.filter(provider_id=self.instance.pk).select_related("tier")
        as_it_would_be = Provider(name=self.instance.pk, kind=kind)
        targets = [TierProvider(tier=target.tier, provider=as_it_would_be) for target in served]
        for unknown in targets_without_price(price_book(ModelPrice.objects.all()), targets):
            self.add_error("kind", NO_PRICE.format(unknown))


class ProviderRateForm(forms.ModelForm):
    """Refuses limits that let nothing pass, and a row that says nothing."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        limits = {name: cleaned.get(name) for name in RATES}
        for name, limit in limits.items():
            if limit == 0:
                self.add_error(name, "Choose 1 or more, or leave it empty for no limit.")
        if not self.errors and all(limit is None for limit in limits.values()):
            raise ValidationError("Give at least one limit, or remove the row.")
        return cleaned


RATES = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
PRICES = ("input_usd", "output_usd", "cache_write_5m_usd", "cache_write_1h_usd", "cache_read_usd")


class ModelPriceForm(forms.ModelForm):
    """Refuses prices below nothing, and changes after which a model in use would have none."""

    def clean_model(self) -> str:
        return check_model(self.cleaned_data["model"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in PRICES:
            price = cleaned.get(name)
            if price is not None and price < 0:
                self.add_error(name, "A price is 0 or more.")
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors and not self.instance._state.adding:
            lost = left_without_price(self.instance.pk, self.instance)
            if lost:
                self.add_error(
                    None, f"Today there would be no price for {', '.join(lost)}, which a tier uses."
                )


def left_without_price(pk: int, instead: ModelPrice | None = None) -> list[str]:
    """What a tier uses and could not be called today without this price, or with another `instead` of it."""
    targets = list(TierProvider.objects.select_related("tier", "provider"))
    others = list(ModelPrice.objects.exclude(pk=pk))
    as_it_is = price_book(ModelPrice.objects.all())
    as_it_would_be = price_book([*others, instead] if instead else others)
    known_missing = set(targets_without_price(as_it_is, targets))
    return [one for one in targets_without_price(as_it_would_be, targets) if one not in known_missing]
