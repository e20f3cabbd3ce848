"""Message Batches, through the SDK's client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import anthropic
import httpx2
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

from agentplatform.llm.batches import BatchItem, BatchReport, BatchResult, Ending
from agentplatform.llm.errors import ModelError
from agentplatform.llm.providers.clients import CONNECT_TIMEOUT_SECONDS
from agentplatform.llm.providers.failures import MAX_CODE_CHARACTERS, failure_of
from agentplatform.llm.providers.parameters import parameters_of
from agentplatform.llm.providers.seen import Seen, response_of

ANSWER_TIMEOUT_SECONDS = 30.0
LIST_PAGE = 100
_ENDINGS = {
    "succeeded": Ending.SUCCEEDED,
    "errored": Ending.ERRORED,
    "canceled": Ending.CANCELLED,
    "expired": Ending.EXPIRED,
}


class AnthropicBatches:
    """A BatchProvider. Requests are not retried here."""

    def __init__(self, client: anthropic.Anthropic, *, provider: str) -> None:
        self._batches = client.messages.batches
        self._provider = provider

    def submit_batch(self, items: Sequence[BatchItem], model: str, *, timeout_seconds: float) -> BatchReport:
        """Requests that cannot be put into the API's words are left out: there is no result for them then."""
        requests: list[Any] = []
        for item in items:
            try:
                params = parameters_of(item.request, model)
            except ValueError:
                continue
            requests.append({"custom_id": item.custom_id, "params": params})
        if not requests:
            message = "No request of the batch can be put into the provider's words."
            raise ModelError("invalid_request_error", message, transient=False)
        with _failures():
            return _report(self._batches.create(requests=requests, timeout=_timeout(timeout_seconds)))

    def batch_status(self, provider_batch_id: str) -> BatchReport:
        with _failures():
            return _report(self._batches.retrieve(provider_batch_id, timeout=_timeout()))

    def cancel_batch(self, provider_batch_id: str) -> BatchReport:
        with _failures():
            try:
                return _report(self._batches.cancel(provider_batch_id, timeout=_timeout()))
            except anthropic.BadRequestError:
                # It has ended meanwhile.
                return _report(self._batches.retrieve(provider_batch_id, timeout=_timeout()))

    def batches_since(self, created_at: datetime) -> Sequence[BatchReport]:
        found = []
        with _failures():
            for batch in self._batches.list(limit=LIST_PAGE, timeout=_timeout()):
                if batch.created_at < created_at:
                    break
                found.append(_report(batch))
        return found

    def batch_results(self, provider_batch_id: str) -> Iterator[BatchResult]:
        with _failures():
            for line in self._lines(provider_batch_id):
                yield self._result(line, provider_batch_id)

    def _lines(self, provider_batch_id: str) -> Iterator[MessageBatchIndividualResponse]:
        try:
            return iter(self._batches.results(provider_batch_id, timeout=_timeout()))
        except anthropic.APIError:
            raise
        except anthropic.AnthropicError:
            # The batch is there, but there is no address for its results.
            message = f"Batch {provider_batch_id} has no results: it has not ended, or was archived."
            raise ModelError("not_found_error", message, transient=False) from None

    def _result(self, line: MessageBatchIndividualResponse, provider_batch_id: str) -> BatchResult:
        result = line.result
        if result.type == "errored":
            code = str(result.error.error.type)[:MAX_CODE_CHARACTERS]
            return BatchResult(line.custom_id, Ending.ERRORED, error_code=code)
        if result.type != "succeeded":
            ending = _ENDINGS[result.type]
            return BatchResult(line.custom_id, ending, error_code=f"batch_{ending}")
        if result.message.stop_reason is None:
            return BatchResult(line.custom_id, Ending.ERRORED, error_code="invalid_response")
        # Answers of a batch have no request ids of their own.
        response = response_of(result.message, self._provider, provider_batch_id)
        return BatchResult(line.custom_id, Ending.SUCCEEDED, response)


@contextmanager
def _failures() -> Iterator[None]:
    """Whatever the SDK makes of a connection or an answer is a ModelError."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - as in a call
        raise failure_of(error, Seen()) from None


def _timeout(seconds: float = ANSWER_TIMEOUT_SECONDS) -> httpx2.Timeout:
    return httpx2.Timeout(seconds, connect=CONNECT_TIMEOUT_SECONDS)


def _report(batch: MessageBatch) -> BatchReport:
    counts = batch.request_counts
    ended = {ending: int(getattr(counts, name)) for name, ending in _ENDINGS.items()}
    return BatchReport(
        provider_batch_id=batch.id,
        status=batch.processing_status,
        created_at=batch.created_at,
        request_count=counts.processing + sum(ended.values()),
        ended_at=batch.ended_at,
        expires_at=batch.expires_at,
        counts=ended,
    )
