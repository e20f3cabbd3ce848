"""The life of batches: made up, sent, asked after, read. No transaction is open while a provider is asked.

Any number of processes may do this at once: a batch is taken by a lease. What is claimed is at-least-once calling and
exactly-once settling. A batch whose sending was interrupted is looked for in the provider's own list, by its time and
its number of requests; one that is not found there is sent again. Results are matched by the ids of their calls, never
by the batch they came in, and each call is settled once.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, Exists, ExpressionWrapper, F, OuterRef, QuerySet
from django.db.models.functions import Now

from agentplatform.llm.batches import (
    BatchItem,
    BatchLimits,
    BatchProvider,
    BatchReport,
    backoff_seconds,
    due_count,
    poll_seconds,
)
from agentplatform.llm.errors import ModelError
from agentplatform.llm.messages import ModelRequest
from apps.database import call_function, release_connection
from apps.gateway.batch_results import BatchSettlement, chunks, settlements_of
from apps.gateway.models import BatchRequest, Provider, ProviderBatch
from apps.gateway.providers import provider

logger = logging.getLogger(__name__)

SUBMIT_ATTEMPTS = 6
"""After so many failures in a row a batch is given up, and its calls are made one by one."""

CLOCKS_DIFFER = timedelta(minutes=5)
"""A provider's clock may be so far from the database's."""

_UNCERTAIN = frozenset({"timeout", "timeout_error", "connection_error", "api_error", "invalid_response"})
"""Codes of failures after which the provider may have the batch all the same."""

_Status = ProviderBatch.Status
_OPEN = (BatchRequest.Status.PENDING, BatchRequest.Status.SUBMITTED)
CANCELLABLE = (_Status.QUEUED, _Status.SUBMITTING, _Status.IN_PROGRESS)
_UNFINISHED = (_Status.QUEUED, _Status.SUBMITTING, _Status.IN_PROGRESS, _Status.CANCELING, _Status.ENDED)


def batches_group() -> int:
    """Makes up the batches that are due, of the calls that wait; returns how many."""
    limits = BatchLimits(settings.BATCH_MAX_REQUESTS, settings.BATCH_MAX_BYTES, settings.BATCH_WAIT_SECONDS)
    waiting = BatchRequest.objects.filter(status=BatchRequest.Status.PENDING, batch=None)
    try:
        kinds = list(waiting.order_by().values_list("provider", "model").distinct())
        return sum(_group(name, model, limits) for name, model in kinds)
    finally:
        release_connection()


def _group(name: str, model: str, limits: BatchLimits) -> int:
    waiting = BatchRequest.objects.filter(
        status=BatchRequest.Status.PENDING, batch=None, provider=name, model=model
    ).order_by("created_at")
    # Looked at first without locks, since most of the time it is too soon.
    if not _due(waiting, limits):
        return 0
    with transaction.atomic():
        due = _due(waiting.select_for_update(skip_locked=True), limits)
        if due:
            batch = ProviderBatch.objects.create(provider=name, model=model, request_count=len(due))
            BatchRequest.objects.filter(pk__in=due).update(batch=batch)
    return int(bool(due))


def _due(waiting: QuerySet[BatchRequest], limits: BatchLimits) -> list[uuid.UUID]:
    """The calls that make up a batch now."""
    age = ExpressionWrapper(Now() - F("created_at"), DurationField())
    rows = list(
        waiting.annotate(age=age).values_list("call_id", "request_bytes", "age")[: limits.max_requests + 1]
    )
    if not rows:
        return []
    count = due_count([row[1] for row in rows], rows[0][2].total_seconds(), limits)
    return [row[0] for row in rows[:count]]


def batches_work(settlement: BatchSettlement, *, seconds: float) -> None:
    """Takes one batch after the other that is due, and does what is next for it, for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        batch = batch_take()
        if batch is None:
            return
        BatchKeeper(batch, settlement).advance()


def batch_take() -> ProviderBatch | None:
    """The batch that has been due for longest, for this process alone until its lease ends; None if none is due."""
    due = ProviderBatch.objects.filter(status__in=_UNFINISHED, due_at__lte=Now()).order_by("due_at")
    try:
        with transaction.atomic():
            batch = due.select_for_update(skip_locked=True).first()
            if batch is None:
                return None
            ProviderBatch.objects.filter(pk=batch.pk).update(
                lease=F("lease") + 1, due_at=_in(_lease_seconds())
            )
            batch.lease += 1
            return batch
    finally:
        release_connection()


def batch_request_cancel(batch: ProviderBatch) -> bool:
    """Has a batch cancelled; returns False where that is asked for already, or too late.

    What it has not answered by then is asked in the ordinary way, if anybody waits for it.
    """
    asked = ProviderBatch.objects.filter(
        pk=batch.pk, status__in=CANCELLABLE, cancel_requested_at=None
    ).update(cancel_requested_at=Now())
    # Not one that is being sent: whoever does so has it for himself.
    ProviderBatch.objects.filter(pk=batch.pk, status__in=(_Status.QUEUED, _Status.IN_PROGRESS)).update(
        due_at=Now()
    )
    return asked == 1


def batches_hurry_unawaited() -> None:
    """Has those looked after at once whose calls nobody waits for any longer: they are cancelled then."""
    awaited = BatchRequest.objects.filter(batch=OuterRef("pk"), status__in=_OPEN)
    unawaited = ProviderBatch.objects.filter(~Exists(awaited), status=_Status.IN_PROGRESS, due_at__gt=Now())
    try:
        unawaited.update(due_at=Now())
    finally:
        release_connection()


class BatchKeeper:
    """Does what is next for a batch that this process has taken."""

    def __init__(self, batch: ProviderBatch, settlement: BatchSettlement) -> None:
        self._batch = batch
        self._settlement = settlement

    def advance(self) -> None:
        """Submits, looks for, asks after, cancels or reads the batch. What fails is tried again later."""
        step = {
            _Status.QUEUED: self._submit,
            _Status.SUBMITTING: self._look_for,
            _Status.IN_PROGRESS: self._ask,
            _Status.CANCELING: self._ask,
            _Status.ENDED: self._read,
        }[_Status(self._batch.status)]
        try:
            step()
        except ModelError as error:
            self._failed(error)
        finally:
            release_connection()

    # --- Sending -------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        requests = self._begin_submitting()
        if not requests:
            return
        items = [BatchItem(str(row.pk), ModelRequest.from_json(row.request or {})) for row in requests]
        release_connection()
        report = self._provider.submit_batch(
            items, self._batch.model, timeout_seconds=_lease_seconds() * 2 / 3
        )
        own = ProviderBatch.objects.filter(provider_batch_id=report.provider_batch_id)
        if not self._taken(report) and not own.exists():
            # Somebody else has looked for it meanwhile and sent another one: of two, one is too many.
            logger.warning(
                "batch %d was sent twice; %s is cancelled", self._batch.pk, report.provider_batch_id
            )
            self._provider.cancel_batch(report.provider_batch_id)

    def _begin_submitting(self) -> list[BatchRequest]:
        """From here on it may be at the provider; none where it is not to be sent any longer."""
        with transaction.atomic():
            own = BatchRequest.objects.filter(batch=self._batch, status=BatchRequest.Status.PENDING)
            requests = list(own.select_for_update())
            if not requests or self._batch.cancel_requested_at is not None or not self._may_be_sent():
                if self._update(status=_Status.CANCELLED, settled_at=Now()):
                    _end(requests, BatchRequest.Status.CANCELLED, "batch_cancelled")
                return []
            if not self._update(
                status=_Status.SUBMITTING,
                request_count=len(requests),
                sent_at=Now(),
                due_at=_in(_lease_seconds()),
            ):
                return []
            own.update(status=BatchRequest.Status.SUBMITTED)
        return requests

    def _may_be_sent(self) -> bool:
        """Whether an operator still lets its provider have batches."""
        return Provider.objects.filter(pk=self._batch.provider, is_enabled=True, takes_batches=True).exists()

    def _taken(self, report: BatchReport) -> bool:
        """Notes that the provider has the batch; False where this process may not do so any longer."""
        return self._update(
            status=_Status.IN_PROGRESS,
            provider_batch_id=report.provider_batch_id,
            submitted_at=Now(),
            expires_at=report.expires_at,
            failures=0,
            error_code="",
            due_at=_in(poll_seconds(0, settings.BATCH_POLL_SECONDS)),
        )

    def _look_for(self) -> None:
        """Whoever sent it did not come back: the provider has it, or it is sent again."""
        batch = self._batch
        assert batch.sent_at is not None
        since, until = batch.sent_at - CLOCKS_DIFFER, batch.sent_at + CLOCKS_DIFFER
        release_connection()
        listed = self._provider.batches_since(since)
        known = set(
            ProviderBatch.objects.filter(
                provider=batch.provider,
                provider_batch_id__in=[report.provider_batch_id for report in listed],
            ).values_list("provider_batch_id", flat=True)
        )
        for report in listed:
            if (
                report.provider_batch_id not in known
                and report.request_count == batch.request_count
                and report.created_at <= until
            ):
                logger.warning("batch %d was found at its provider: %s", batch.pk, report.provider_batch_id)
                self._taken(report)
                return
        logger.warning("batch %d did not reach its provider; it is sent again", batch.pk)
        self._send_again(due_in_seconds=0)

    def _send_again(self, *, due_in_seconds: float) -> None:
        with transaction.atomic():
            if self._update(status=_Status.QUEUED, due_at=_in(due_in_seconds)):
                BatchRequest.objects.filter(batch=self._batch, status=BatchRequest.Status.SUBMITTED).update(
                    status=BatchRequest.Status.PENDING
                )

    # --- At the provider -----------------------------------------------------------------------------------

    def _ask(self) -> None:
        batch = self._batch
        assert batch.provider_batch_id is not None
        awaited = BatchRequest.objects.filter(batch=batch, status__in=_OPEN).exists()
        release_connection()
        if batch.status == _Status.IN_PROGRESS and (batch.cancel_requested_at is not None or not awaited):
            report = self._provider.cancel_batch(batch.provider_batch_id)
        else:
            report = self._provider.batch_status(batch.provider_batch_id)
        age_seconds = (report.ended_at or datetime.now(UTC)) - report.created_at
        wait = poll_seconds(age_seconds.total_seconds(), settings.BATCH_POLL_SECONDS)
        self._update(
            status=report.status,
            ended_at=report.ended_at,
            failures=0,
            error_code="",
            due_at=_in(0 if report.status == _Status.ENDED else wait),
            **{f"{ending}_count": count for ending, count in report.counts.items()},
        )

    def _read(self) -> None:
        """Settles the results one by one, as they come; what none has come for is made in the ordinary way."""
        batch = self._batch
        assert batch.provider_batch_id is not None
        release_connection()
        for chunk in chunks(self._provider.batch_results(batch.provider_batch_id)):
            self._settlement.settle(settlements_of(chunk))
            if not self._update(due_at=_in(_lease_seconds())):
                return
        with transaction.atomic():
            if self._update(status=_Status.SETTLED, settled_at=Now(), failures=0, error_code=""):
                self._lose("batch_result_missing")

    # --- Failing -------------------------------------------------------------------------------------------

    def _failed(self, error: ModelError) -> None:
        """Backs off, or gives the batch up: then its calls are made in the ordinary way."""
        batch = self._batch
        failures = batch.failures + 1
        logger.warning("batch %d at %s: %s (failure %d)", batch.pk, batch.provider, error.code, failures)
        told = {"failures": failures, "error_code": error.code[:64]}
        delay = max(backoff_seconds(failures), min(300.0, error.retry_after_seconds or 0.0))
        may_be_there = batch.status == _Status.SUBMITTING or error.code in _UNCERTAIN
        if batch.status not in (_Status.QUEUED, _Status.SUBMITTING):
            if error.code == "not_found_error":
                self._give_up(error.code, is_billed_perhaps=True, **told)
            else:
                self._update(**told, due_at=_in(delay))
        elif failures >= SUBMIT_ATTEMPTS or (not may_be_there and _is_final(error)):
            self._give_up(error.code, is_billed_perhaps=may_be_there, **told)
        elif may_be_there:
            # The provider's list will tell, once what was sent has had time to arrive.
            self._update(**told, due_at=_in(max(delay, _lease_seconds())))
        elif self._update(**told):
            self._send_again(due_in_seconds=delay)

    def _give_up(self, code: str, *, is_billed_perhaps: bool, **told: Any) -> None:
        with transaction.atomic():
            if not self._update(**told, status=_Status.FAILED, settled_at=Now()):
                return
            if is_billed_perhaps:
                self._lose(code)
            else:
                _end(self._batch.requests.filter(status__in=_OPEN), BatchRequest.Status.ERRORED, code)

    def _lose(self, code: str) -> None:
        """Ends requests whose results are not to be had: what their calls cost is not known."""
        open_requests = self._batch.requests.filter(status__in=_OPEN)
        ids = list(self._batch.requests.values_list("pk", flat=True))
        self._settlement.give_up(ids, code[:64])
        open_requests.update(status=BatchRequest.Status.ERRORED, request=None, ended_at=Now())

    @property
    def _provider(self) -> BatchProvider:
        """Raises ModelError where it is not configured."""
        return provider(self._batch.provider).batches

    def _update(self, **fields: Any) -> bool:
        """Writes to the row, if this process still has it."""
        own = ProviderBatch.objects.filter(pk=self._batch.pk, lease=self._batch.lease)
        return own.update(**fields) == 1


def _is_final(error: ModelError) -> bool:
    """Whether the provider will not take the batch later either, or not soon."""
    return not error.transient or bool(error.unavailable_seconds)


def _end(requests: Iterable[BatchRequest], status: str, code: str) -> None:
    """Ends requests that the provider does not have: their calls have cost nothing."""
    ids = [request.pk for request in requests]
    call_function("gateway_take_back_calls", [ids, code[:64]], ["uuid[]", "text"])
    BatchRequest.objects.filter(pk__in=ids, status__in=_OPEN).update(
        status=status, request=None, ended_at=Now()
    )


def _in(seconds: float) -> Any:
    return Now() + timedelta(seconds=seconds)


def _lease_seconds() -> float:
    return float(settings.BATCH_LEASE_SECONDS)
