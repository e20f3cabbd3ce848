"""What there is to be told of: the events that an endpoint may ask for, and the codes of notices."""

from __future__ import annotations

WORKFLOW_FINISHED = "workflow.finished"
ENDPOINT_DISABLED = "webhook.endpoint_disabled"
DEAD_LETTER_GROUP_OPENED = "dead_letter.group_opened"
COST_DIGEST = "cost.digest"
LEDGER_MISMATCH = "ledger.mismatch"
CACHE_SWITCHED_OFF = "cache.switched_off"
DRIFT_DETECTED = "drift.detected"
PING = "ping"
"""Sent to one endpoint when somebody tests it; nobody subscribes to it."""

EVENT_TYPES: dict[str, str] = {
    WORKFLOW_FINISHED: "A workflow has ended, in whatever status.",
    "workflow.held": "A workflow waits for budget.",
    "workflow.resumed": "A workflow that was held goes on.",
    "workflow.approval_requested": "A step of a workflow waits for somebody's approval.",
    "schedule.refused": "A schedule's run could not be started; it goes on with its next time.",
    "budget.threshold": "A budget has passed one of its thresholds.",
    "budget.room": "A budget has room again, and what was held goes on.",
    "budget.velocity": "Money is spent at a pace that implies an overage.",
    COST_DIGEST: "What a day has cost, each morning.",
    LEDGER_MISMATCH: "What is counted is not what the ledger says; told to operators.",
    CACHE_SWITCHED_OFF: "Answers by meaning were wrong too often in a use case, and are not given there any more.",
    DRIFT_DETECTED: "What tasks are like has shifted: their mix, tokens, time or shares; told to operators.",
    DEAD_LETTER_GROUP_OPENED: "Steps give up in a way that is new, or that comes again.",
    ENDPOINT_DISABLED: "An endpoint has failed for so long that nothing is sent to it any more.",
}
"""By name, in a sentence. A notice may have another code; an endpoint without a list of events is sent all."""
