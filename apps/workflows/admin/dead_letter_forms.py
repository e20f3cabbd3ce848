"""What is asked before dead letters are requeued or discarded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
)

from agentplatform.workflows.definition import MAX_DEADLINE_SECONDS
from apps.workflows.dead_letters import RequeueOptions


class IndentedJSONField(forms.JSONField):
    """JSON, shown as a person edits it."""

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data if data is not None else initial


class RequeueForm(forms.Form):
    """How letters are requeued. The input can be edited where all letters are of one workflow."""

    rate_per_minute = forms.FloatField(
        required=False,
        min_value=0.01,
        max_value=100_000,
        widget=UnfoldAdminDecimalFieldWidget(),
        help_text="So many steps start in a minute; all at once without it.",
    )
    deadline_seconds = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_DEADLINE_SECONDS,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="How long each workflow has from then on; its queue's default without it.",
    )
    input = IndentedJSONField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 14, "class": "console-code"}),
        help_text="The workflow's input, for the steps that run from now on. What you change is shown before it is done.",
    )

    def __init__(self, data: Any = None, *, workflow_input: Mapping[str, Any] | None) -> None:
        super().__init__(data, initial={"input": workflow_input})
        self._before = workflow_input
        if workflow_input is None:
            del self.fields["input"]

    def clean_input(self) -> Any:
        value = self.cleaned_data.get("input")
        if not isinstance(value, dict):
            raise forms.ValidationError("A JSON object is needed.")
        return value

    @property
    def edited_input(self) -> Mapping[str, Any] | None:
        """The new input; None where nothing was changed."""
        value = self.cleaned_data.get("input")
        return None if value is None or value == self._before else value

    @property
    def digest(self) -> str:
        """Of the edited input: a person has seen the changes of this one and of no other."""
        return hashlib.sha256(json.dumps(self.edited_input, sort_keys=True).encode()).hexdigest()

    @property
    def options(self) -> RequeueOptions:
        return RequeueOptions(
            self.edited_input,
            self.cleaned_data.get("rate_per_minute"),
            self.cleaned_data.get("deadline_seconds"),
        )


class DiscardForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Why nobody needs to go on from here; for other operators and for the log.",
    )
