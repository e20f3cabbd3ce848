"""Dead letters in the admin: grouped, looked into, requeued with an edited input, discarded with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME

from agentplatform.execution.attempts import Outcome
from agentplatform.execution.retry import Failure
from apps.workflows.dead_letters import dead_letters_file
from apps.workflows.letters import DeadLetter, DeadLetterGroup, OperatorAction
from apps.workflows.models import Workflow
from tests.integration.admin.conftest import (
    HOSTILE,
    HOSTILE_ESCAPED,
    Person,
    change_url,
    hidden_value,
    list_url,
    logged,
    operation_url,
)
from tests.integration.conftest import Hand

Die = Callable[..., DeadLetter]


@pytest.fixture
def die(submit: Callable[..., Workflow], hand: Hand) -> Die:
    """Has a workflow's step give up; returns its letter, filed."""

    def give_up(type_: str = "one_echo", workflow_input: object = None, **failure: str) -> DeadLetter:
        submit(type_, workflow_input or {"output": HOSTILE})
        told = {"code": "made_to_fail", "message": f"No: {HOSTILE}", "traceback": "", **failure}
        outcome = Outcome(failure=Failure(transient=False, **told))
        hand.finish(hand.claim_next(), outcome=outcome)
        letter = DeadLetter.objects.latest("pk")
        dead_letters_file([letter.pk])
        return letter

    return give_up


def selected(obj: object, action: str, **fields: str) -> dict[str, object]:
    """What a list's form sends."""
    return {"action": action, "index": "0", ACTION_CHECKBOX_NAME: [str(obj.pk)], **fields}  # type: ignore[attr-defined]


def test_letters_are_shown_by_group_with_all_that_is_known(reader: Person, die: Die) -> None:
    """Counts, attempts with tracebacks, payload; whatever is in them is text."""
    letter = die(traceback=f'File "/a/b.py", line 3, in run {HOSTILE}')
    other = die(code="another")
    groups = reader.page(list_url(DeadLetterGroup))
    assert "made_to_fail" in groups
    assert "another" in groups
    assert f"fingerprint__exact={letter.fingerprint}" in groups
    listed = reader.page(list_url(DeadLetter), fingerprint__exact=letter.fingerprint)
    assert change_url(letter) in listed
    assert change_url(other) not in listed
    page = reader.page(change_url(letter))
    assert HOSTILE_ESCAPED in page
    assert HOSTILE not in page
    assert "one_echo.step_0" in page
    assert change_url(letter) in reader.page(list_url(DeadLetter), q=str(letter.workflow_id))
    assert change_url(letter) not in reader.page(list_url(DeadLetter), status__exact="discarded")
    assert reader.page(change_url(DeadLetterGroup.objects.get(pk=letter.fingerprint)))


def test_a_letter_is_requeued(operator: Person, die: Die) -> None:
    """Asked about first; logged, and recorded as an operation; then there is no button any more."""
    letter = die()
    url = operation_url(letter, "requeue")
    assert url in operator.page(change_url(letter))
    assert operator.post(url).status_code == 200
    assert Workflow.objects.get().status == "failed"
    unedited = json.dumps({"output": HOSTILE})
    assert operator.confirm(url, input=unedited).status_code == 302
    assert Workflow.objects.get().status == "running"
    letter.refresh_from_db()
    action = OperatorAction.objects.get()
    assert (letter.status, letter.operation) == ("requeued", action)
    assert (action.actor, action.affected) == ("user operator", 1)
    assert logged(letter) == [f"Requeued: 1 letters, operation {action.pk}"]
    assert url not in operator.page(change_url(letter))
    again = operator.client.post(url, {"confirmed": "1", "input": unedited}, follow=True)
    assert b"nothing was changed" in again.content
    assert str(action.pk) in operator.page(change_url(action))


def test_the_changes_of_an_input_are_shown_before_they_are_made(operator: Person, die: Die) -> None:
    """Who edits once more sees the changes once more; the record has them."""
    letter = die(workflow_input={"output": "wrong"})
    url = operation_url(letter, "requeue")
    edited = {"confirmed": "1", "input": json.dumps({"output": "right"}), "rate_per_minute": "60"}
    page = operator.client.post(url, edited).content.decode()
    assert "/output: &quot;wrong&quot; → &quot;right&quot;" in page
    assert Workflow.objects.get().status == "failed"
    reviewed = hidden_value(page, "reviewed")
    other = {**edited, "input": json.dumps({"output": "other"}), "reviewed": reviewed}
    assert "→ &quot;other&quot;" in operator.client.post(url, other).content.decode()
    assert Workflow.objects.get().status == "failed"
    assert operator.client.post(url, {**edited, "reviewed": reviewed}).status_code == 302
    workflow = Workflow.objects.get()
    assert (workflow.status, workflow.input) == ("running", {"output": "right"})
    (message,) = logged(letter)
    assert message.endswith('input: /output: "wrong" → "right"')


@pytest.mark.parametrize("bad", ["", "[]", "nonsense", "{", '{"question": 1}'])
def test_an_input_that_cannot_be_run_is_refused(operator: Person, die: Die, bad: str) -> None:
    """With what is wrong; nothing is requeued."""
    letter = die("answer_question", {"question": "Who pays?"})
    response = operator.client.post(operation_url(letter, "requeue"), {"confirmed": "1", "input": bad})
    assert response.status_code == 200
    assert DeadLetter.objects.get().status == "open"
    assert not OperatorAction.objects.exists()


@pytest.mark.parametrize(
    "bad", [{"rate_per_minute": "0"}, {"rate_per_minute": "nan"}, {"deadline_seconds": "-1"}]
)
def test_options_without_sense_are_refused(operator: Person, die: Die, bad: dict[str, str]) -> None:
    """The form says so."""
    letter = die()
    fields = {"confirmed": "1", "input": json.dumps({"output": HOSTILE}), **bad}
    assert operator.client.post(operation_url(letter, "requeue"), fields).status_code == 200
    assert DeadLetter.objects.get().status == "open"


def test_a_group_is_requeued_whole(operator: Person, die: Die) -> None:
    """All its open letters, with no input to edit; letters of other groups are left alone."""
    letters = [die(), die(), die(code="another")]
    group = DeadLetterGroup.objects.get(pk=letters[0].fingerprint)
    assert (group.letters, letters[0].fingerprint) == (2, letters[1].fingerprint)
    fields = selected(group, "requeue_selected")
    page = operator.client.post(list_url(DeadLetterGroup), fields).content.decode()
    assert str(letters[1].pk) in page
    assert 'name="input"' not in page
    operator.client.post(list_url(DeadLetterGroup), {**fields, "confirmed": "1"})
    statuses = [DeadLetter.objects.get(pk=letter.pk).status for letter in letters]
    assert statuses == ["requeued", "requeued", "open"]


def test_a_letter_is_discarded_with_a_reason(operator: Person, die: Die) -> None:
    """Without one it is not."""
    letter = die()
    url = operation_url(letter, "discard")
    assert operator.confirm(url).status_code == 200
    assert DeadLetter.objects.get().status == "open"
    assert operator.confirm(url, reason="A test.").status_code == 302
    letter.refresh_from_db()
    assert (letter.status, letter.resolution) == ("discarded", "A test.")
    assert logged(letter) == ["Discarded: 1 letters, reason 'A test.'"]


@pytest.mark.parametrize("group", ["finance", "read-only"])
def test_who_only_reads_neither_requeues_nor_discards(
    somebody: Callable[..., Person], die: Die, group: str
) -> None:
    """No buttons, and forged requests are refused."""
    letter, person = die(), somebody(group)
    for operation in ("requeue", "discard"):
        assert operation_url(letter, operation) not in person.page(change_url(letter))
        assert person.post(operation_url(letter, operation), confirmed="1", reason="x").status_code == 403
        for model, obj in ((DeadLetter, letter), (DeadLetterGroup, DeadLetterGroup.objects.get())):
            fields = selected(obj, f"{operation}_selected", confirmed="1", reason="x")
            assert person.client.post(list_url(model), fields).status_code == 403
    assert DeadLetter.objects.get().status == "open"
