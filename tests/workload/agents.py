"""Agents of the workloads."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from agentplatform.agents.agent import StepContext, StepError
from agentplatform.agents.registry import registry
from agentplatform.llm.caching.policy import Caching


@registry.agent("noop")
class Noop:
    """Does nothing, and says so."""

    def run(self, step: StepContext) -> Any:
        return {"done": True}


@registry.agent("sleep")
class Sleep:
    """Sleeps for `input.seconds`."""

    def run(self, step: StepContext) -> Any:
        time.sleep(float(step.input["seconds"]))
        return {"slept": step.input["seconds"]}


@registry.agent("ask")
class Ask:
    """Makes `input.calls` model calls, one after the other, each with a request of its own.

    With `input.fail_once_after`, its first attempt fails after that many calls.
    """

    def run(self, step: StepContext) -> Any:
        texts = []
        for number in range(int(step.input.get("calls", 1))):
            if step.attempt == 1 and number == step.input.get("fail_once_after"):
                raise StepError("made_to_fail", "This attempt fails on purpose.", transient=True)
            prompt = f"Say something about call {number} of {step.step_id}."
            texts.append(step.complete(prompt, max_tokens=50).text)
        return {"texts": texts}


@registry.agent("question")
class Question:
    """Asks a model `input.question`, as it is answered from version `input.version` of something.

    With `input.label`, the model is told to answer with that, however the question is put. With `input.fail_once`, its first attempt fails once it has the answer.
    """

    caching = Caching.SEMANTIC

    def run(self, step: StepContext) -> Any:
        question = step.input["question"]
        version = step.input.get("version", 1)
        prompt = f"Answer shortly, by version {version}.\n{question}"
        if label := step.input.get("label"):
            prompt += f"\n<labels>{label}</labels>\nReply with the label."
        response = step.complete(prompt, max_tokens=60, asked=question, depends_on=(f"version:{version}",))
        if step.attempt == 1 and step.input.get("fail_once"):
            raise StepError("made_to_fail", "This attempt fails on purpose.", transient=True)
        return {"answer": response.text}


@registry.agent("echo")
class Echo:
    """Returns `input.output`."""

    def run(self, step: StepContext) -> Any:
        return step.input["output"]


@registry.agent("ask_for_nothing")
class AskForNothing:
    """Makes a model call, and returns what cannot be stored."""

    def run(self, step: StepContext) -> Any:
        step.complete("Say something.", max_tokens=50)
        return object()


@registry.agent("fail")
class Fail:
    """Fails as often as `options.times` says (for ever without it), transiently or not."""

    def run(self, step: StepContext) -> Any:
        if step.attempt <= int(step.options.get("times", 1_000_000)):
            raise StepError(
                "made_to_fail",
                "This step fails on purpose.",
                transient=bool(step.options.get("transient", True)),
            )
        return {"attempt": step.attempt}


@registry.agent("list")
class ListItems:
    """Returns `{"items": [0, 1, …]}` of the length asked for."""

    def run(self, step: StepContext) -> Any:
        return {"items": list(range(int(step.input["count"])))}


@registry.agent("double")
class Double:
    """Doubles its element."""

    def run(self, step: StepContext) -> Any:
        return step.item * 2


@registry.agent("add")
class Add:
    """Adds up the outputs of the fan-out before it."""

    def run(self, step: StepContext) -> Any:
        return {"sum": sum(step.needs["double"])}


@registry.agent("show_input")
class ShowInput:
    """Returns the names of the fields of the input that it sees, and its element in a fan-out."""

    def run(self, step: StepContext) -> Any:
        return {"fields": sorted(step.input), "item": step.item}


@registry.agent("gather")
class Gather:
    """Returns the outputs of the steps it needs."""

    def run(self, step: StepContext) -> Any:
        return dict(step.needs)


@registry.agent("kill_worker")
class KillWorker:
    """Kills the process that runs it, unless `input.kill` is false."""

    def run(self, step: StepContext) -> Any:
        if step.input.get("kill", True):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"survived": True}


@registry.agent("sleep_on_first_attempts")
class SleepOnFirstAttempts:
    """Sleeps for `options.seconds` on its first `options.times` attempts, which nobody can break off."""

    def run(self, step: StepContext) -> Any:
        if step.attempt <= int(step.options["times"]):
            time.sleep(float(step.options["seconds"]))
        return {"attempt": step.attempt}
