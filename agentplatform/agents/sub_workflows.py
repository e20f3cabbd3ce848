"""The agent that runs a workflow as a step of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentplatform.agents.agent import Degradation, OptionsError, StepContext, StepError
from agentplatform.agents.registry import registry
from agentplatform.workflows import expressions
from agentplatform.workflows.statuses import WaitingFor, WorkflowStatus
from agentplatform.workflows.step_spec import StepSpec

if TYPE_CHECKING:
    from agentplatform.agents.registry import Registry

LONGEST_WAIT_SECONDS = 3_600
"""A run's end wakes its step; this is for one whose end nobody has noticed."""


RUN_WORKFLOW = "run_workflow"


@registry.agent(RUN_WORKFLOW)
class RunWorkflow:
    """Runs a workflow of the type `options.workflow`. Output: its result.

    `options.input` makes its input: for each field an expression over input, item, previous and the outputs needed. A
    result that lacks parts is labelled. Raises StepError `sub_workflow_failed`, `sub_workflow_refused` or
    `sub_workflow_too_deep`.
    """

    def check_options(self, spec: StepSpec, registry: Registry) -> None:
        type_ = spec.options.get("workflow")
        if type_ not in registry.definitions:
            raise OptionsError(
                f"options.workflow '{type_}' is no definition; known are {sorted(registry.definitions)}"
            )
        fields = spec.options.get("input", {})
        if not isinstance(fields, Mapping):
            raise OptionsError("options.input is an object: for each field of the input an expression")
        for name, expression in fields.items():
            try:
                expressions.check(expression)
            except expressions.ExpressionError as error:
                raise OptionsError(f"options.input.{name} '{expression}': {error}") from error

    def run(self, step: StepContext) -> Any:
        run = step.runs.latest(step)
        if run is None or run.reported:
            fields = step.options.get("input", {})
            step.runs.start(
                step,
                step.options["workflow"],
                {
                    name: expressions.evaluate(expression, step.document)
                    for name, expression in fields.items()
                },
            )
            self._wait(step)
        elif not run.status.is_terminal:
            self._wait(step)
        elif run.status in (WorkflowStatus.FAILED, WorkflowStatus.CANCELLED):
            code = (run.error or {}).get("code", run.status.value)
            message = (
                f"Workflow {run.workflow_id} of this step is {run.status} ({code}); see there, then requeue."
            )
            raise StepError("sub_workflow_failed", message)
        elif run.status is WorkflowStatus.PARTIAL:
            message = f"Workflow {run.workflow_id} of this step has ended in part; see its degradations."
            step.degradations.append(Degradation("sub_workflow_partial", message))
        return run.result if run is not None else None

    def _wait(self, step: StepContext) -> None:
        message = "It waits for the end of the workflow that it runs."
        step.wait(WaitingFor.WORKFLOW, LONGEST_WAIT_SECONDS, "waits_for_workflow", message)
