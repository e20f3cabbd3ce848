"""Prices of our own, beside those that genai-prices lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import FieldTextFilter
from unfold.decorators import display

from agentplatform.llm.catalogue import ProviderKind
from agentplatform.llm.errors import UnknownPrice
from agentplatform.llm.pricing import PRICE_VERSION, PriceBook, PriceList
from apps.console.display import NOTHING
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table
from apps.gateway.admin.forms import PRICES, ModelPriceForm, left_without_price
from apps.gateway.models import ModelPrice, TierProvider
from apps.gateway.selectors import price_book

LISTED = PriceBook()
PRICE_HEADERS = ("input", "output", "cache write 5 min", "cache write 1 h", "cache read")
IN_FORCE_NOTE = (
    "In dollars per million tokens, as calls are paid for today. A price of our own goes before the listed one from its "
    "first day on, one for a single provider before one for all. A batch costs half."
)
LISTED_NOTE = "In dollars per million tokens. Some models cost more from so many input tokens on."


@admin.register(ModelPrice)
class ModelPriceAdmin(ConsoleAdmin):
    """The list has the prices of our own; below it is what every tier costs at each of its providers."""

    form = ModelPriceForm
    list_display = ("model", "where", "valid_from", "own", "listed")
    list_filter = (("model", FieldTextFilter),)
    list_select_related = ("provider",)
    search_fields = ("model",)
    ordering = ("model", "-valid_from")
    fields = ("model", "provider", "valid_from", *PRICES)
    list_after_template = "console/tables.html"

    @display(description="provider")
    def where(self, price: ModelPrice) -> str:
        return price.provider_id or "all"

    @display(description="input / output")
    def own(self, price: ModelPrice) -> str:
        return f"{_usd(price.input_usd)} / {_usd(price.output_usd)}"

    @display(description="listed input / output")
    def listed(self, price: ModelPrice) -> str:
        kind = price.provider.kind if price.provider else ProviderKind.ANTHROPIC.value
        found = _listed(price.model, kind)
        if found is None:
            return NOTHING
        first = found.steps[0][1]
        return f"{_usd(first.input_tokens)} / {_usd(first.output_tokens)}"

    def list_tables(self, request: HttpRequest) -> Sequence[Table]:
        prices = price_book(ModelPrice.objects.all())
        targets = TierProvider.objects.select_related("tier", "provider").order_by(
            "tier__max_complexity", "position"
        )
        rows = [row for target in targets for row in _target_rows(prices, target)]
        headers = ("tier", "model", "provider", "more input tokens than", *PRICE_HEADERS, "from")
        return [Table("Prices in force", headers, rows, IN_FORCE_NOTE)]

    def detail_tables(self, request: HttpRequest, obj: ModelPrice) -> Sequence[Table]:
        rows = [
            [kind.value, *step]
            for kind in ProviderKind
            if (found := _listed(obj.model, kind.value)) is not None
            for step in _steps(found)
        ]
        note = LISTED_NOTE if rows else "genai-prices does not list this model."
        headers = ("kind of provider", "more input tokens than", *PRICE_HEADERS)
        return [Table(f"As listed by {PRICE_VERSION}", headers, rows, note)]

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Refuses to take away the only price of what a tier uses."""
        prices = list(objs)
        refused: list[Any] = [
            f"{price} is the only price of {', '.join(lost)}, which a tier uses: give the tier another model first."
            for price in prices
            if (lost := left_without_price(price.pk))
        ]
        return [str(price) for price in prices], {"prices": len(prices)}, set(), refused


def _target_rows(prices: PriceBook, target: TierProvider) -> list[list[Any]]:
    kind = ProviderKind(target.provider.kind)
    place = [target.tier_id, target.tier.model, target.provider_id]
    try:
        found = prices.of(target.tier.model, provider=target.provider_id, listed_as=kind.listed_as)
    except UnknownPrice:
        return [[*place, NOTHING, *[NOTHING] * len(PRICE_HEADERS), "unknown: it is not called"]]
    return [[*place, *step, found.version] for step in _steps(found)]


def _listed(model: str, kind: str) -> PriceList | None:
    try:
        return LISTED.of(model, listed_as=ProviderKind(kind).listed_as)
    except UnknownPrice:
        return None


def _steps(found: PriceList) -> list[list[str]]:
    return [
        [
            f"{above:,}",
            _usd(prices.input_tokens),
            _usd(prices.output_tokens),
            _usd(prices.cache_write_5m_tokens),
            _usd(prices.cache_write_1h_tokens),
            _usd(prices.cache_read_tokens),
        ]
        for above, prices in found.steps
    ]


def _usd(price: Decimal) -> str:
    return f"${price.normalize():f}"
