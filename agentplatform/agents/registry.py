"""The registries that any installed app's `agents.py` and `workflows.py` add to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TypeVar

from agentplatform.agents.agent import Agent, OptionsError, caching_of
from agentplatform.agents.tools.tool import Tool, is_dynamic, is_tool_name
from agentplatform.llm.caching.policy import Caching
from agentplatform.workflows.definition import Definition, DefinitionError, StepSpec
from agentplatform.workflows.input_checks import InputCheck

AgentType = TypeVar("AgentType", bound=Callable[[], Agent])
ToolType = TypeVar("ToolType", bound=Callable[[], Tool])

Version = Callable[[uuid.UUID], str]
"""What says at which version something of a tenant stands, that results depend on."""


class Registry:
    """Agents, tools, checks of inputs and versions by name, definitions by type.

    A name taken twice is an error, not a surprise.
    """

    def __init__(self) -> None:
        self._agents: dict[str, Agent] = {}
        self._definitions: dict[str, Definition] = {}
        self._input_checks: dict[str, InputCheck] = {}
        self._versions: dict[str, Version] = {}
        self._tools: dict[str, Tool] = {}

    def agent(self, name: str) -> Callable[[AgentType], AgentType]:
        """Class decorator: makes one instance the agent called `name`."""

        def register(factory: AgentType) -> AgentType:
            if name in self._agents:
                raise DefinitionError(f"two agents are called '{name}'; give each a name of its own")
            self._agents[name] = factory()
            return factory

        return register

    def tool(self, factory: ToolType) -> ToolType:
        """Class decorator: makes one instance the tool that its `spec` names."""
        tool = factory()
        name = tool.spec.name
        if not is_tool_name(name) or "__" in name:
            raise DefinitionError(
                f"a tool is called '{name}'; give it 1 to 64 letters, digits, '-' and single '_'"
            )
        if name in self._tools:
            raise DefinitionError(f"two tools are called '{name}'; give each a name of its own")
        self._tools[name] = tool
        return factory

    def input_check(self, name: str) -> Callable[[InputCheck], InputCheck]:
        """Function decorator: makes it the check of inputs that definitions name as `name`."""

        def register(check: InputCheck) -> InputCheck:
            if name in self._input_checks:
                raise DefinitionError(
                    f"two checks of inputs are called '{name}'; give each a name of its own"
                )
            self._input_checks[name] = check
            return check

        return register

    def version(self, name: str) -> Callable[[Version], Version]:
        """Function decorator: makes it what definitions name as `name` in `depends_on`."""

        def register(version: Version) -> Version:
            if name in self._versions:
                raise DefinitionError(f"two versions are called '{name}'; give each a name of its own")
            self._versions[name] = version
            return version

        return register

    def define(self, definition: Definition) -> Definition:
        """Adds a definition, to be stored as a new version where its content has changed."""
        if definition.type in self._definitions:
            raise DefinitionError(f"two definitions have the type '{definition.type}'; rename one")
        self._definitions[definition.type] = definition
        return definition

    def find_agent(self, name: str) -> Agent | None:
        """The agent called `name`; None when no installed app has one."""
        return self._agents.get(name)

    def find_input_check(self, name: str) -> InputCheck | None:
        """The check of inputs called `name`; None when no installed app has one."""
        return self._input_checks.get(name)

    def find_version(self, name: str) -> Version | None:
        """What says at which version `name` of a tenant stands; None when no installed app has it."""
        return self._versions.get(name)

    def find_tool(self, name: str) -> Tool | None:
        """The tool called `name`; None when no installed app has one."""
        return self._tools.get(name)

    @property
    def tools(self) -> Mapping[str, Tool]:
        return self._tools

    @property
    def definitions(self) -> Mapping[str, Definition]:
        return self._definitions

    def check(self) -> None:
        """Raises DefinitionError, naming the place, when a definition names what is not there.

        And when the results of one are to be given again that has a step whose answers must not be.
        """
        for definition in self._definitions.values():
            for name in definition.input_checks:
                if name not in self._input_checks:
                    raise DefinitionError(
                        f"definition '{definition.type}': no check of inputs is called '{name}'; "
                        f"known are {sorted(self._input_checks)}"
                    )
            for name in definition.depends_on:
                if name not in self._versions:
                    raise DefinitionError(
                        f"definition '{definition.type}': depends_on names '{name}', which nothing is called; "
                        f"known are {sorted(self._versions)}"
                    )
            for spec in definition.steps:
                self._check_step(definition, spec, f"definition '{definition.type}', step '{spec.key}'")

    def _check_step(self, definition: Definition, spec: StepSpec, place: str) -> None:
        for name in (spec.agent, *spec.may_add):
            if name not in self._agents:
                raise DefinitionError(
                    f"{place}: no agent is called '{name}'; known are {sorted(self._agents)}"
                )
        self._check_tools(spec, place)
        agent = self._agents[spec.agent]
        allowed = caching_of(agent).narrowed(spec.caching)
        if definition.cache_ttl_seconds is not None and allowed is Caching.NONE:
            raise DefinitionError(
                f"{place}: its answers must not be given again, so "
                "the definition can have no cache_ttl_seconds; declare `caching` on the agent if they may"
            )
        check_options = getattr(agent, "check_options", None)
        if check_options is not None:
            try:
                check_options(spec, self)
            except OptionsError as error:
                raise DefinitionError(f"{place}: {error}") from error

    def _check_tools(self, spec: StepSpec, place: str) -> None:
        lists = [(option, spec.options.get(option, ())) for option in ("tools", "optional_tools")]
        for option, name in [
            (option, name)
            for option, names in lists
            for name in (names if isinstance(names, list | tuple) else (names,))
        ]:
            if not isinstance(name, str) or not (name in self._tools or is_dynamic(name)):
                raise DefinitionError(
                    f"{place}: option {option} names '{name}', which no tool is called; known are {sorted(self._tools)}, 'webhook:NAME', 'webhook:*' and 'mcp:SERVER'"
                )


registry = Registry()
"""The registry of this process."""
