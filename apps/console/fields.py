"""Form fields that people fill in otherwise than the database keeps them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget

MICROS = 1_000_000
MOST_USD = Decimal(1_000_000_000)


class DollarsField(forms.DecimalField):
    """Dollars, to the micro-dollar; kept as integer micro-dollars."""

    widget = UnfoldAdminDecimalFieldWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=Decimal(0), max_value=MOST_USD, decimal_places=6, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return f"{Decimal(value) / MICROS:f}" if isinstance(value, int) else value

    def clean(self, value: Any) -> int | None:
        dollars = super().clean(value)
        return None if dollars is None else int(dollars * MICROS)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.clean(data) != initial
        except ValidationError:
            return True


class TimeZoneField(forms.ChoiceField):
    """A time zone of the IANA database."""

    widget = UnfoldAdminSelectWidget

    def __init__(self, **kwargs: Any) -> None:
        names = sorted(name for name in available_timezones() if "/" in name or name == "UTC")
        super().__init__(choices=[(name, name) for name in names], initial="UTC", **kwargs)
