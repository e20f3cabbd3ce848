"""People of every group, signed in, and one of everything to look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from agentplatform.execution.attempts import ClaimedStep, Outcome
from agentplatform.execution.executor import identity_of
from agentplatform.execution.retry import Failure
from agentplatform.llm.journal import Settlement, StartedCall
from agentplatform.llm.messages import Usage
from apps.tenants.models import User
from apps.workflows.models import Workflow
from apps.workflows.store import DatabaseCallStore
from tests.integration.conftest import Hand

HOSTILE = "<script>alert('x')</script>"
HOSTILE_ESCAPED = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"


class Person:
    """Somebody in front of the admin."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)

    def get(self, url: str, **query: str) -> Any:
        return self.client.get(url, query)

    def page(self, url: str, **query: str) -> str:
        """The text of a page that must be there."""
        response = self.client.get(url, query)
        assert response.status_code == 200, (url, response.status_code)
        return response.content.decode()

    def post(self, url: str, /, **fields: Any) -> Any:
        return self.client.post(url, fields)

    def confirm(self, url: str, **fields: Any) -> Any:
        """Answers the page that asks before an operation, as its form does."""
        assert self.client.get(url).status_code == 200
        return self.client.post(url, {"confirmed": "1", **fields})


@pytest.fixture
def somebody(transactional_db: None) -> Callable[..., Person]:
    """A person in one of the groups, or an administrator."""
    return person_make


def person_make(group: str | None = None) -> Person:
    user = User.objects.create_user(
        username=group or "admin", password="secret", is_staff=True, is_superuser=group is None
    )
    if group is not None:
        user.groups.add(Group.objects.get(name=group))
    return Person(user)


@pytest.fixture
def administrator(somebody: Callable[..., Person]) -> Person:
    return somebody()


@pytest.fixture
def operator(somebody: Callable[..., Person]) -> Person:
    return somebody("operator")


@pytest.fixture
def reader(somebody: Callable[..., Person]) -> Person:
    return somebody("read-only")


@pytest.fixture
def failed(submit: Callable[..., Workflow], hand: Hand) -> Workflow:
    """A run with a settled call, hostile input and error, and a step that gave up."""
    workflow = submit("one_ask", {"text": HOSTILE, "long": "long " * 500}, metadata={"who": HOSTILE})
    step = hand.claim_next()
    settle_call(step)
    failure = Failure("made_to_fail", f"No: {HOSTILE}", transient=False, traceback=f"Traceback of {HOSTILE}")
    hand.finish(step, outcome=Outcome(failure=failure))
    workflow.refresh_from_db()
    assert workflow.status == "failed"
    return workflow


def settle_call(step: ClaimedStep, cost_usd_micros: int = 1_250_000) -> None:
    """One settled call of a claimed step."""
    call = StartedCall(
        step=identity_of(step),
        ordinal=0,
        request_hash="hash",
        tier="fast",
        provider="anthropic",
        model="claude-test",
        worst_case_usd_micros=2_000_000,
    )
    settlement = Settlement(
        call, "settled", Usage(input_tokens=1200, output_tokens=34), cost_usd_micros, "v1", "claude-test"
    )
    DatabaseCallStore().settle([settlement])


def change_url(obj: Any) -> str:
    """The detail page of an object."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])


def operation_url(obj: Any, operation: str) -> str:
    """The page of an operation on an object."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_{operation}", args=[obj.pk])


def list_url(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def logged(obj: Any) -> list[str]:
    """What the log says was done to an object, oldest first."""
    entries = LogEntry.objects.filter(object_id=str(obj.pk)).order_by("pk")
    return [entry.get_change_message() for entry in entries]


def hidden_value(html: str, name: str) -> str:
    """The value of a hidden field of a page."""
    tag = re.search(rf'<input[^>]*name="{name}"[^>]*>', html)
    assert tag is not None, f"no field '{name}'"
    value = re.search(r'value="([^"]*)"', tag.group(0))
    assert value is not None
    return value.group(1)
