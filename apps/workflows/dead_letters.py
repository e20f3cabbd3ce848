"""Dead letters: filed in groups, requeued, discarded."""

from __future__ import annotations

import itertools
import logging
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from agentplatform.workflows.decisions import IllegalEvent
from agentplatform.workflows.definition import INPUT, Definition, list_at
from agentplatform.workflows.json_changes import changes_between
from agentplatform.workflows.requeueing import NOTHING, Requeue, decide_requeue
from agentplatform.workflows.statuses import WorkflowStatus
from apps.database import call_function, release_connection, to_jsonb
from apps.workflows.encoding import requeue_to_json
from apps.workflows.letter_notices import operators_tell, tenants_tell
from apps.workflows.letters import DeadLetter, OperatorAction
from apps.workflows.models import Step, Workflow
from apps.workflows.operations import Actor, action_end, action_record
from apps.workflows.selectors import RunState, definition_by_id, run_state
from apps.workflows.services import DEFAULT_DEADLINE_SECONDS, workflow_apply
from apps.workflows.signals import answers_withdraw
from apps.workflows.submissions import InvalidSubmission, check_input
from apps.workflows.wake import wake

MAX_LETTERS = 1_000
"""How many letters one operation takes; asked again, it goes on with the rest."""

FILED_WITHIN_SECONDS = 10
"""For how long the hint of a letter may be under way before the sweep looks after it."""

logger = logging.getLogger(__name__)


class SeveralTenants(ValueError):
    """An edited input is for the letters of one tenant: what it holds is nobody else's."""


@dataclass(frozen=True, slots=True)
class RequeueOptions:
    """How letters are requeued.

    `input` takes the place of their workflows' input. With `rate_per_minute` their steps start one after the other,
    spread over time. An ended workflow has `deadline_seconds` from the start of its last step, or its queue's default.
    """

    input: Mapping[str, Any] | None = None
    rate_per_minute: float | None = None
    deadline_seconds: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For the record; the input is told as its changes."""
        return {"rate_per_minute": self.rate_per_minute, "deadline_seconds": self.deadline_seconds}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A letter that was not requeued, and what to do instead."""

    letter_id: uuid.UUID
    detail: str


@dataclass(slots=True)
class RequeueReport:
    """What came of a requeue, or would in a dry run."""

    matched: int = 0
    requeued: int = 0
    refused: list[Refusal] = field(default_factory=list)
    input_changes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    last_starts_in_seconds: float = 0.0
    has_more: bool = False
    operation_id: uuid.UUID | None = None
    workflow_ids: set[uuid.UUID] = field(default_factory=set)


def dead_letters_requeue(
    actor: Actor,
    chosen: QuerySet[DeadLetter],
    options: RequeueOptions,
    *,
    asked: Mapping[str, Any],
    dry_run: bool = False,
) -> RequeueReport:
    """Goes on from the steps of the open letters among `chosen`, the oldest first; a second time finds none open.

    Outputs of earlier steps stay, settled calls are replayed, and costs add up. Each workflow is reopened in a
    transaction of its own, with those within it. Raises InvalidSubmission for an input that a workflow does not take,
    and SeveralTenants; nothing has been changed then.
    """
    letters, has_more = _open(chosen)
    report = RequeueReport(matched=len(letters), has_more=has_more)
    if options.input is not None:
        report.input_changes = _check_new_input(letters, options.input)
    spacing = 60.0 / options.rate_per_minute if options.rate_per_minute else 0.0
    delays = {letter.pk: number * spacing for number, letter in enumerate(letters)}
    report.last_starts_in_seconds = max(delays.values(), default=0.0)
    by_workflow: defaultdict[uuid.UUID, list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        by_workflow[letter.workflow_id].append(letter)
    families = _families(by_workflow)
    if dry_run:
        for workflow_id in itertools.chain.from_iterable(families):
            _try_requeue(run_state(workflow_id), _above(workflow_id), by_workflow[workflow_id], report)
        return report
    told = {"asked": asked, **options.to_json(), "input_changes": report.input_changes}
    action = action_record(actor, "dead_letters.requeue", told)
    report.operation_id = action.pk
    for family in families:
        with transaction.atomic():
            _lock(family)
            for workflow_id in family:
                _requeue(workflow_id, by_workflow[workflow_id], delays, options, action, report)
        for workflow_id in report.workflow_ids.intersection(family):
            wake.events(str(workflow_id))
    refused = [{"id": str(refusal.letter_id), "detail": refusal.detail} for refusal in report.refused]
    ids = [str(letter.pk) for letter in letters]
    action_end(action, affected=report.requeued, outcome={"letters": ids, "refused": refused})
    wake.dispatcher()
    return report


def dead_letters_discard(
    actor: Actor, chosen: QuerySet[DeadLetter], *, reason: str, asked: Mapping[str, Any]
) -> OperatorAction:
    """Closes the open letters among `chosen` for good; their workflows stay as they ended. Returns the record."""
    letters, has_more = _open(chosen)
    with transaction.atomic():
        action = action_record(actor, "dead_letters.discard", {"asked": asked, "reason": reason})
        still_open = DeadLetter.objects.filter(
            pk__in=[letter.pk for letter in letters], status=DeadLetter.Status.OPEN
        )
        count = still_open.update(
            status=DeadLetter.Status.DISCARDED, resolved_at=Now(), resolution=reason, operation=action
        )
        ids = [str(letter.pk) for letter in letters]
        action_end(action, affected=count, outcome={"letters": ids, "has_more": has_more})
    return action


def dead_letters_file(letter_ids: Sequence[uuid.UUID]) -> int:
    """Counts letters in their groups, each once, and tells of groups that are new or come again; returns of how many.

    Their tenants are told of their own. The notices go with the count: neither is there without the other.
    """
    try:
        with transaction.atomic():
            groups = call_function("workflows_file_letters", [list(letter_ids)], ["uuid[]"])
            for fingerprint, letters, sample in groups:
                operators_tell(fingerprint, letters, sample)
            tenants_tell(letter_ids)
    finally:
        release_connection()
    for fingerprint, letters, sample in groups:
        logger.warning(
            "dead letters of fingerprint %s: %d so far, the latest is %s", fingerprint, letters, sample
        )
    return len(groups)


def dead_letters_sweep() -> int:
    """Files the letters whose hint was lost; returns how many it found."""
    since = Now() - timedelta(seconds=FILED_WITHIN_SECONDS)
    unfiled = DeadLetter.objects.filter(filed_at=None, created_at__lt=since).order_by("created_at")
    ids = list(unfiled.values_list("pk", flat=True)[:MAX_LETTERS])
    if ids:
        dead_letters_file(ids)
    return len(ids)


def _open(chosen: QuerySet[DeadLetter]) -> tuple[list[DeadLetter], bool]:
    letters = list(chosen.filter(status=DeadLetter.Status.OPEN).order_by("pk")[: MAX_LETTERS + 1])
    return letters[:MAX_LETTERS], len(letters) > MAX_LETTERS


def _families(workflow_ids: Iterable[uuid.UUID]) -> list[list[uuid.UUID]]:
    """The workflows by the one that was submitted, each before those that its steps have started."""
    families: defaultdict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    chosen = Workflow.objects.filter(pk__in=list(workflow_ids)).order_by("depth", "pk")
    for workflow_id, root_id in chosen.values_list("pk", "root_id"):
        families[root_id or workflow_id].append(workflow_id)
    return list(families.values())


def _lock(family: Sequence[uuid.UUID]) -> None:
    """Them and those above: one that is reopened is never seen under one that has ended, nor missed by a pause.

    From the top down, as where what their calls cost is settled.
    """
    above = Workflow.objects.filter(pk__in=family).exclude(parent_id=None).values("parent_id")
    locked = Workflow.objects.select_for_update(no_key=True).filter(Q(pk__in=family) | Q(pk__in=above))
    list(locked.order_by("depth", "pk").values_list("pk"))


def _above(workflow_id: uuid.UUID) -> Workflow | None:
    """The run whose step has started it, with its id and status."""
    parent = Workflow.objects.filter(pk=workflow_id).exclude(parent_id=None).values("parent_id")
    return Workflow.objects.only("status").filter(pk__in=parent).first()


def _requeue(
    workflow_id: uuid.UUID,
    letters: Sequence[DeadLetter],
    delays: Mapping[uuid.UUID, float],
    options: RequeueOptions,
    action: OperatorAction,
    report: RequeueReport,
) -> None:
    workflow, above = Workflow.objects.get(pk=workflow_id), _above(workflow_id)
    ids = [letter.pk for letter in letters]
    # Another requeue may have come first: what it has taken is not taken twice.
    letters = list(DeadLetter.objects.filter(pk__in=ids, status=DeadLetter.Status.OPEN).order_by("pk"))
    run = run_state(workflow_id)
    decision = _try_requeue(run, above, letters, report) if letters else None
    if decision is None:
        return
    lasting = options.deadline_seconds or DEFAULT_DEADLINE_SECONDS[workflow.queue_id]
    arguments = [
        workflow_id,
        to_jsonb(requeue_to_json(decision)),
        to_jsonb(_in_their_order(letters, delays)),
        lasting + max(delays[letter.pk] for letter in letters),
        to_jsonb(options.input) if options.input is not None else None,
        action.pk,
    ]
    # They were given for what there was without the steps that run again.
    answers_withdraw(workflow_id, (*decision.block, *decision.withdraw))
    call_function("workflows_requeue", arguments, ["uuid", "jsonb", "jsonb", "float", "jsonb", "uuid"])
    if decision.then != NOTHING:
        workflow_apply(workflow, run.definition, decision.then)
    if above is not None and above.status == WorkflowStatus.PAUSED and run.state.status.is_terminal:
        call_function("workflows_set_status", [workflow_id, WorkflowStatus.PAUSED.value], ["uuid", "text"])


def _in_their_order(letters: Sequence[DeadLetter], delays: Mapping[uuid.UUID, float]) -> list[dict[str, Any]]:
    """The steps of a workflow's letters with the delays of these, the first ones first, as fan-outs take them."""
    ids = [letter.step_id for letter in letters]
    steps = Step.objects.filter(pk__in=ids).order_by("position", "index").values_list("pk", flat=True)
    times = sorted(delays[letter.pk] for letter in letters)
    return [{"id": step, "delay_seconds": delay} for step, delay in zip(steps, times, strict=True)]


def _try_requeue(
    run: RunState, above: Workflow | None, letters: Sequence[DeadLetter], report: RequeueReport
) -> Requeue | None:
    """The decision, noted in the report; None where it is refused."""
    nodes = Counter(
        Step.objects.filter(pk__in=[letter.step_id for letter in letters]).values_list("node", flat=True)
    )
    try:
        _require_open(above, report)
        requeue = decide_requeue(run.definition, run.state, nodes)
    except IllegalEvent as error:
        report.refused += [Refusal(letter.pk, f"Not requeued: {error}.") for letter in letters]
        return None
    report.requeued += len(letters)
    report.workflow_ids.add(letters[0].workflow_id)
    return requeue


def _require_open(above: Workflow | None, report: RequeueReport) -> None:
    """Raises IllegalEvent where the run above has ended and is not reopened as well: it would be cancelled again."""
    if above is None or not WorkflowStatus(above.status).is_terminal or above.pk in report.workflow_ids:
        return
    raise IllegalEvent(
        f"the workflow that runs it, {above.pk}, has ended: requeue its step with it, or that alone"
    )


def _check_new_input(
    letters: Sequence[DeadLetter], new_input: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """By workflow, what the new input changes of the old; raises unless all of them take it."""
    if len({letter.tenant_id for letter in letters}) > 1:
        raise SeveralTenants(
            "an edited input is for the letters of one tenant; requeue each tenant's by itself"
        )
    changes = {}
    ids = {letter.workflow_id for letter in letters}
    for workflow in Workflow.objects.filter(pk__in=ids).select_related("tenant").order_by("pk"):
        definition = definition_by_id(workflow.definition_id)
        check_input(definition, new_input, workflow.tenant)
        _check_fan_outs(definition, run_state(workflow.pk), new_input)
        differing = changes_between(workflow.input, new_input)
        changes[str(workflow.pk)] = [change.to_json() for change in differing]
    return changes


def _check_fan_outs(definition: Definition, run: RunState, new_input: Mapping[str, Any]) -> None:
    """A list that steps were made for keeps its length: each of them has its element."""
    for spec in definition.steps:
        source, *path = (spec.for_each or "").split(".")
        total = run.state.nodes[spec.key].total
        if source == INPUT and total is not None and len(list_at(path, new_input)) != total:
            message = f"The step '{spec.key}' has run over {total} elements; the list must keep its length."
            raise InvalidSubmission([((INPUT, *path), message)])
