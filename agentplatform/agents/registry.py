"""The registries that any installed app's `agents.py` and `workflows.py` add to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from agentplatform.agents.agent import Agent
from agentplatform.workflows.definition import Definition, DefinitionError

AgentType = TypeVar("AgentType", bound=Callable[[], Agent])


class Registry:
    """Agents by name and definitions by type. A name that is taken twice is an error, not a surprise."""

    def __init__(self) -> None:
        self._agents: dict[str, Agent] = {}
        self._definitions: dict[str, Definition] = {}

    def agent(self, name: str) -> Callable[[AgentType], AgentType]:
        """Class decorator: makes one instance the agent called `name`."""

        def register(factory: AgentType) -> AgentType:
            if name in self._agents:
                raise DefinitionError(f"two agents are called '{name}'; give each a name of its own")
            self._agents[name] = factory()
            return factory

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

    @property
    def definitions(self) -> Mapping[str, Definition]:
        return self._definitions

    def check(self) -> None:
        """Raises DefinitionError, naming the place, when a definition's step has no agent."""
        for definition in self._definitions.values():
            for spec in definition.steps:
                if spec.agent not in self._agents:
                    raise DefinitionError(
                        f"definition '{definition.type}', step '{spec.key}': no agent is called '{spec.agent}'; "
                        f"known are {sorted(self._agents)}"
                    )


registry = Registry()
"""The registry of this process."""
