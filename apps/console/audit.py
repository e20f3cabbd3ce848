"""What the log says of a change: what it was before, and what it is now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db.models import Model, QuerySet

SECRET = ("password", "password1", "password2")


def added(form: forms.ModelForm[Any]) -> str:
    """What a new object was made with."""
    facts = [f"{name} {shown(value)}" for name, value in form.cleaned_data.items() if name not in SECRET]
    return "Added: " + ", ".join(facts)


def changed(form: forms.ModelForm[Any], formsets: Iterable[Any] = ()) -> str:
    """Every field that was changed, with what it was and what it is; also those of what belongs to the object."""
    facts = _changes(form)
    for formset in formsets:
        for one in formset.forms:
            facts += [f"{one.instance} {fact}" for fact in _changes(one)]
    return "Changed: " + ", ".join(facts) if facts else "Saved without a change"


def _changes(form: forms.ModelForm[Any]) -> list[str]:
    facts = []
    for name in form.changed_data:
        if name in SECRET:
            facts.append(name)
            continue
        before = form.initial.get(name)
        facts.append(f"{name} {shown(_as_chosen(form, name, before))} → {shown(form.cleaned_data.get(name))}")
    return facts


def shown(value: Any) -> str:
    """A value in the words of the log."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, Model):
        return f"'{value}'"
    if isinstance(value, QuerySet | list | tuple | set):
        return "[" + ", ".join(sorted(str(item) for item in value)) + "]"
    return str(value)


def _as_chosen(form: forms.ModelForm[Any], name: str, value: Any) -> Any:
    """The object behind a primary key, where a form only knows the key of what was chosen before."""
    field = form.fields.get(name)
    queryset = getattr(field, "queryset", None)
    if queryset is None or value is None or (isinstance(value, Iterable) and not isinstance(value, str)):
        return value
    return queryset.model._default_manager.filter(pk=value).first() or value
