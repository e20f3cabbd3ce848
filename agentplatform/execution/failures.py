"""What is kept of an exception that ended an attempt: never its text, unless it was written for readers."""

from __future__ import annotations

import traceback
from typing import Any

from agentplatform.agents.agent import StepError
from agentplatform.execution.retry import Failure
from agentplatform.llm.errors import ModelError

MAX_CODE_CHARACTERS = 64
"""How much of a failure's code is kept."""

MAX_CLASS_CHARACTERS = 200
"""How much is kept of the name of an exception's class."""

MAX_TRACEBACK_FRAMES = 50
"""How many frames are kept of a traceback, the innermost, where it was raised."""


def failure_of(error: Exception) -> Failure:
    """What an agent's exception says: its class of failure, and a traceback without values."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}"[:MAX_CLASS_CHARACTERS]
    told: dict[str, Any] = {"traceback": _traceback_of(error, kind), "error_class": kind}
    if isinstance(error, ModelError):
        code = error.code[:MAX_CODE_CHARACTERS]
        return Failure(code, error.message, error.transient, error.retry_after_seconds, **told)
    if isinstance(error, StepError):
        return Failure(error.code[:MAX_CODE_CHARACTERS], error.message, error.transient, **told)
    # The text of an unforeseen exception may quote a prompt or an output: only its class is kept.
    message = f"The agent raised {type(error).__name__}; its traceback is with the attempt."
    return Failure("agent_error", message, transient=True, **told)


def _traceback_of(error: Exception, kind: str) -> str:
    """Where it was raised, and the class of what was raised: neither its text nor any value."""
    frames = traceback.extract_tb(error.__traceback__)
    cut = f"  … {len(frames) - MAX_TRACEBACK_FRAMES} frames …\n" if len(frames) > MAX_TRACEBACK_FRAMES else ""
    kept = traceback.StackSummary.from_list(frames[-MAX_TRACEBACK_FRAMES:])
    return f"{cut}{''.join(kept.format())}{kind}"
