"""Tools in the registry, and in the options of steps."""

from __future__ import annotations

from typing import Any

import pytest

from agentplatform.agents.registry import Registry
from agentplatform.agents.tool_using import AnswerWithTools
from agentplatform.agents.tools.calculator import Calculator
from agentplatform.agents.tools.tool import ToolSpec
from agentplatform.workflows.definition import Definition, DefinitionError, StepSpec


def registry_with(tools: Any, option: str = "tools") -> Registry:
    """A registry with the calculator, and a definition whose step has this option `tools`."""
    own = Registry()
    own.agent("answer_with_tools")(AnswerWithTools)
    own.tool(Calculator)
    step = StepSpec(key="answer", agent="answer_with_tools", options={option: tools})
    own.define(Definition("ask", "Ask", "Asks.", {"type": "object"}, (step,), "answer"))
    return own


@pytest.mark.parametrize(
    "tools", [["calculator"], ["webhook:*"], ["webhook:crm", "mcp:search", "calculator"], []]
)
def test_known_tools_and_those_that_a_run_finds_may_be_named(tools: list[str]) -> None:
    """Tenants' own and those of MCP servers are known at run time only."""
    registry_with(tools).check()


@pytest.mark.parametrize("tools", [["calculater"], ["mcp:"], "calculater", [3], ["other:x"]])
def test_an_unknown_tool_is_an_error_that_names_the_place(tools: Any) -> None:
    """When the definition is loaded, not when it runs."""
    for option in ("tools", "optional_tools"):
        place = f"definition 'ask', step 'answer': option {option} names"
        with pytest.raises(DefinitionError, match=place):
            registry_with(tools, option).check()


def test_a_name_is_one_tools_alone() -> None:
    """Two of one name are an error, and so is a name that models do not take or that tenants' tools have."""
    own = Registry()
    own.tool(Calculator)
    with pytest.raises(DefinitionError, match="two tools"):
        own.tool(Calculator)
    for name in ("has space", "mcp__x__y", "x" * 65):

        class Odd(Calculator):
            spec = ToolSpec(name, "Odd.", {"type": "object"})

        with pytest.raises(DefinitionError, match="a tool is called"):
            own.tool(Odd)
