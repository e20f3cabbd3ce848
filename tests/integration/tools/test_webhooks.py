"""A tenant's webhook as a tool: what its answers mean."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from agentplatform.agents.tools.tool import ToolContext, ToolError
from agentplatform.execution.deadlines import Deadline
from apps.notifications.secrets import secret_encrypt, secret_make
from apps.tools.models import TenantTool
from apps.tools.webhooks import MAX_ANSWER_BYTES, WebhookTool
from tests.receiver import Receiver

SCHEMA = {"type": "object", "properties": {"ship": {"type": "string"}}}


def tool_at(url: str, **fields: Any) -> WebhookTool:
    """A tool as it is set."""
    return WebhookTool(
        TenantTool(name="berth", url=url, input_schema=SCHEMA, secret=secret_encrypt(secret_make()), **fields)
    )


def call(tool: WebhookTool, seconds: float = 5.0, **arguments: Any) -> Any:
    """What it returns."""
    context = ToolContext(uuid.UUID(int=1), "key", Deadline.after(seconds), tool.spec)
    return tool.run(arguments, context)


def test_json_comes_back_as_json_and_all_else_as_text(receiver: Receiver) -> None:
    """Whatever it says of its type."""
    tool = tool_at(receiver.url)
    receiver.answer(200, b'{"berth": ["B7"]}')
    assert call(tool).content == {"berth": ["B7"]}
    receiver.answer(200, b"berth B7")
    assert call(tool).content == "berth B7"
    assert call(tool).content == ""  # 204


def test_an_answer_that_goes_on_is_cut_with_a_note(receiver: Receiver) -> None:
    """It is text then: half of JSON is none."""
    receiver.answer(200, b"[" + b"1," * MAX_ANSWER_BYTES)
    output = call(tool_at(receiver.url))
    assert len(output.content) == MAX_ANSWER_BYTES
    assert output.notes == ("Cut after 262,144 bytes: the answer goes on.",)


@pytest.mark.parametrize(
    ("status", "code", "is_tools", "is_unknown"),
    [
        (302, "redirected", False, False),
        (400, "http_400", False, False),
        (404, "http_404", False, False),
        (429, "http_429", True, False),
        (500, "http_500", True, True),
        (503, "http_503", True, True),
    ],
)
def test_an_answer_that_refuses_is_a_failure(
    receiver: Receiver, status: int, code: str, is_tools: bool, is_unknown: bool
) -> None:
    """With 4xx it was surely not done; with 5xx it may have been, and the tool is at fault."""
    receiver.answer(status, b"the secret of Mr Smith", Location="http://127.0.0.1:1/")
    with pytest.raises(ToolError) as failed:
        call(tool_at(receiver.url))
    error = failed.value
    assert (error.code, error.is_tools, error.is_unknown) == (code, is_tools, is_unknown)
    assert "Smith" not in error.message
    assert len(receiver.requests) == 1


def test_a_call_that_is_not_answered_in_time_may_have_been_done(receiver: Receiver) -> None:
    """It had arrived."""
    receiver.held.clear()
    with pytest.raises(ToolError) as failed:
        call(tool_at(receiver.url), seconds=0.2)
    receiver.held.set()
    assert (failed.value.code, failed.value.is_unknown) == ("timeout", True)


def test_a_call_that_could_not_be_sent_was_not_done() -> None:
    """No connection, nothing done."""
    tool = tool_at("http://127.0.0.1:9/")
    with pytest.raises(ToolError) as failed:
        call(tool)
    assert (failed.value.code, failed.value.is_unknown) == ("address_refused", False)


def test_the_same_call_has_the_same_key_and_id(receiver: Receiver) -> None:
    """So that the other side can know it again."""
    tool = tool_at(receiver.url)
    call(tool, ship="Aurora")
    call(tool, ship="Aurora")
    first, second = receiver.requests
    for name in ("idempotency-key", "webhook-id"):
        assert first.headers[name] == second.headers[name]
