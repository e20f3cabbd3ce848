"""Agents that wait: for a time, a signal, or somebody's approval. They hold no slot while they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentplatform.agents.agent import OptionsError, StepContext, StepError
from agentplatform.agents.registry import registry
from agentplatform.workflows import expressions
from agentplatform.workflows.statuses import WaitingFor
from agentplatform.workflows.step_spec import StepSpec

if TYPE_CHECKING:
    from agentplatform.agents.registry import Registry

MAX_WAIT_SECONDS = 7 * 86_400
DEFAULT_EXPIRY_SECONDS = 86_400
MAX_SIGNAL_CHARACTERS = 100


@registry.agent("wait")
class Wait:
    """Waits for `options.seconds`: a number, or an expression over the input and needs. Output: `{"waited_seconds"}`.

    Raises StepError `no_time_to_wait`.
    """

    def check_options(self, spec: StepSpec, registry: Registry) -> None:
        seconds = spec.options.get("seconds")
        if isinstance(seconds, str):
            _require_expression("seconds", seconds)
        elif not isinstance(seconds, int | float) or not 0 < seconds <= MAX_WAIT_SECONDS:
            raise OptionsError(
                f"options.seconds is more than 0 and at most {MAX_WAIT_SECONDS}, or an expression"
            )

    def run(self, step: StepContext) -> Any:
        seconds = step.options["seconds"]
        if isinstance(seconds, str):
            seconds = expressions.evaluate(seconds, step.document)
        if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_WAIT_SECONDS:
            message = f"The time to wait is a number of seconds, at most {MAX_WAIT_SECONDS}."
            raise StepError("no_time_to_wait", message)
        _wait_until(step, WaitingFor.TIMER, seconds, "It waits for its time.")
        return {"waited_seconds": round(step.waited_seconds or 0.0, 1)}


@registry.agent("wait_for_signal")
class WaitForSignal:
    """Waits for the signal `options.signal`. Output: `{"received": true, "payload", "sender"}`.

    After `options.expires_in_seconds` without one, `{"received": false, "payload": null, "sender": ""}`; or it fails
    with StepError `signal_expired`, where `options.on_expiry` is "fail".
    """

    def check_options(self, spec: StepSpec, registry: Registry) -> None:
        name = spec.options.get("signal")
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_SIGNAL_CHARACTERS:
            raise OptionsError(f"options.signal is a name of 1 to {MAX_SIGNAL_CHARACTERS} characters")
        _check_expiry(spec.options, ("continue", "fail"))

    def run(self, step: StepContext) -> Any:
        if step.signal is not None:
            return {"received": True, **_told(step.signal)}
        _wait_until(step, WaitingFor.SIGNAL, _expiry(step), "It waits for a signal.")
        if step.options.get("on_expiry") == "fail":
            raise StepError(
                "signal_expired", "The signal did not come in time; send it, then requeue the step."
            )
        return {"received": False, "payload": None, "sender": ""}


@registry.agent("ask_approval")
class AskApproval:
    """Waits until somebody approves or rejects it. Output: `{"approved", "comment", "by", "expired"}`.

    `options.approval` says what is asked (`title`, for those who decide). After `options.expires_in_seconds`
    without an answer it counts as what `options.on_expiry` says: "reject" (the default), "approve" or "fail". Where
    `options.on_reject` is "fail", a rejection is a failure of the step. Raises StepError `rejected` or
    `approval_expired`.
    """

    def check_options(self, spec: StepSpec, registry: Registry) -> None:
        asked = spec.options.get("approval")
        if not isinstance(asked, Mapping) or not isinstance(asked.get("title"), str):
            raise OptionsError("options.approval is an object with a title: what is to be approved")
        _check_expiry(spec.options, ("reject", "approve", "fail"))
        if spec.options.get("on_reject", "continue") not in ("continue", "fail"):
            raise OptionsError("options.on_reject is 'continue' or 'fail'")

    def run(self, step: StepContext) -> Any:
        if step.signal is not None:
            answer = step.signal["payload"]
            return self._verdict(step, answer["approved"], answer["comment"], step.signal["sender"])
        _wait_until(step, WaitingFor.APPROVAL, _expiry(step), "It waits for approval.")
        on_expiry = step.options.get("on_expiry", "reject")
        if on_expiry == "fail":
            raise StepError("approval_expired", "Nobody answered in time; requeue the step to ask again.")
        return self._verdict(step, on_expiry == "approve", "Nobody answered in time.", "", expired=True)

    def _verdict(
        self, step: StepContext, approved: bool, comment: str, by: str, *, expired: bool = False
    ) -> dict[str, Any]:
        if not approved and step.options.get("on_reject") == "fail":
            raise StepError("rejected", "The step was not approved; fork the workflow with another input.")
        return {"approved": approved, "comment": comment, "by": by, "expired": expired}


def _wait_until(step: StepContext, waiting_for: WaitingFor, seconds: float, message: str) -> None:
    """Waits until `seconds` after the step began to; returns when that time has come."""
    left = seconds - (step.waited_seconds or 0.0)
    if step.waited_seconds is None or left > 0:
        step.wait(waiting_for, max(0.0, left), f"waits_for_{waiting_for}", message)


def _told(signal: Mapping[str, Any]) -> dict[str, Any]:
    return {"payload": signal["payload"], "sender": signal["sender"]}


def _expiry(step: StepContext) -> float:
    return float(step.options.get("expires_in_seconds", DEFAULT_EXPIRY_SECONDS))


def _check_expiry(options: Mapping[str, Any], endings: tuple[str, ...]) -> None:
    seconds = options.get("expires_in_seconds", DEFAULT_EXPIRY_SECONDS)
    if not isinstance(seconds, int | float) or not 0 < seconds <= MAX_WAIT_SECONDS:
        raise OptionsError(f"options.expires_in_seconds is more than 0 and at most {MAX_WAIT_SECONDS}")
    if options.get("on_expiry", endings[0]) not in endings:
        raise OptionsError(f"options.on_expiry is one of: {', '.join(endings)}")


def _require_expression(name: str, expression: str) -> None:
    try:
        expressions.check(expression)
    except expressions.ExpressionError as error:
        raise OptionsError(f"options.{name} '{expression}' is no JMESPath expression: {error}") from error
