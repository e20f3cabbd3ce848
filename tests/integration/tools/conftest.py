"""What the tests of tools share: attempts of a step that use them by hand, and a receiver that is called as one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from agentplatform.agents.agent import StepContext
from agentplatform.agents.tools.tool import ToolContext, ToolOutput, ToolSpec
from agentplatform.agents.tools.toolbox import Offer, OfferedTool, Toolbox, Tools
from agentplatform.execution.attempts import ClaimedStep, Outcome
from agentplatform.execution.deadlines import Deadline
from agentplatform.execution.retry import Failure
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.model import CallContext
from apps.tenants.models import Tenant
from apps.tools import selectors
from apps.tools.source import tool_breaker
from apps.workflows.dispatching import wake_due
from apps.workflows.models import Step, Workflow
from apps.workflows.tool_calls import DatabaseToolCallStore
from tests.integration.conftest import Hand, journal_of
from tests.receiver import Receiver, receiving

Submit = Callable[..., Workflow]


class Charge:
    """A tool that counts how often it was really called."""

    def __init__(self, **fields: Any) -> None:
        self.times = 0
        self.keys: list[str] = []
        self.error: BaseException | None = None
        self.spec = ToolSpec(
            name="charge",
            description="Charges a card.",
            input_schema={"type": "object", "properties": {"cents": {"type": "integer"}}},
            **fields,
        )

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        self.times += 1
        self.keys.append(context.key)
        if self.error is not None:
            raise self.error
        return ToolOutput({"charged": arguments.get("cents", 0), "time": self.times})


class Given:
    """A source that has these tools, whatever is asked for."""

    def __init__(self, *tools: Any) -> None:
        self.tools = tools

    def find(self, tenant_id: uuid.UUID, names: Any) -> Offer:
        return Offer(tuple(OfferedTool(tool.spec, tool) for tool in self.tools))


class Attempts:
    """The attempts of one step, made by hand one after the other."""

    def __init__(self, hand: Hand, *tools: Any) -> None:
        self.hand = hand
        self.tools = Tools(Given(*tools), tool_breaker(), DatabaseToolCallStore())
        self.step: ClaimedStep
        self.journal: StepJournal

    def begin(self) -> StepContext:
        """The next attempt, with its tools offered."""
        self.step = self.hand.claim_next()
        self.journal = journal_of(self.step)
        context = context_of(self.step, self.tools.for_step(self.journal))
        context.tools.offer(context, ["charge"])
        return context

    def fail(self) -> None:
        """Ends the attempt, so that another follows."""
        self.hand.finish(self.step, outcome=Outcome(failure=Failure("lost", "lost", transient=True)))
        Step.objects.filter(pk=self.step.step_id).update(run_at="2020-01-01T00:00:00Z")
        wake_due()


def context_of(step: ClaimedStep, tools: Toolbox) -> StepContext:
    """A claimed step as its agent sees it, with nobody to ask but tools."""
    call = CallContext(Deadline.after(20))
    return StepContext(
        tenant_id=step.tenant_id,
        workflow_id=step.workflow_id,
        step_id=step.step_id,
        attempt=step.attempt,
        tier=None,
        input=step.input,
        needs=step.needs,
        item=None,
        options={},
        deadline=call.deadline,
        model=None,  # type: ignore[arg-type]
        call=call,
        tools=tools,
    )


def use(context: StepContext, tool: Any, **arguments: Any) -> Any:
    """Calls a tool as the loop does."""
    return context.tools.call(context, OfferedTool(tool.spec, tool), arguments)


@pytest.fixture(autouse=True)
def _fresh(closed: None) -> Iterator[None]:
    """Circuits are closed, and what operators set is read anew."""
    selectors._tool_settings.cache_clear()
    yield
    selectors._tool_settings.cache_clear()


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A receiver on loopback, where tools may be called."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with receiving() as one:
        yield one


@pytest.fixture
def step_of(submit: Submit, tenant: Tenant, hand: Hand) -> Callable[..., Attempts]:
    """A step that was submitted, and these tools for it."""

    def make(*tools: Any, **options: Any) -> Attempts:
        submit("one_noop", {}, **options)
        return Attempts(hand, *tools)

    return make
