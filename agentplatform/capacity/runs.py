"""A run in a simulation: which of its steps are ready, and which follow when one has ended."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from agentplatform.capacity.admission import Tenant
from agentplatform.capacity.draws import whole_number
from agentplatform.capacity.model import StepLoad, TaskLoad


@dataclass(slots=True)
class Run:
    """One run. `unfinished` has the nodes that have not ended, with how many of their steps are left."""

    task: TaskLoad
    tenant: Tenant
    number: int
    began_at: float
    unfinished: dict[str, int] = field(default_factory=dict)
    unready: dict[str, int] = field(default_factory=dict)

    def begin(self, chance: random.Random) -> list[StepLoad]:
        """Draws how many steps each node has; returns those that are ready."""
        for step in self.task.steps:
            ran = chance.random() < step.share
            count = whole_number(chance, step.count.draw(chance)) if ran else 0
            self.unfinished[step.node] = self.unready[step.node] = count
        ready: list[StepLoad] = []
        self._settle(ready)
        return ready

    def step_ended(self, step: StepLoad) -> list[StepLoad]:
        """Counts the end of a step; returns those that this has made ready, in their order."""
        self.unfinished[step.node] -= 1
        ready: list[StepLoad] = []
        if self.unready[step.node]:
            self._make_ready(step, 1, ready)
        elif not self.unfinished[step.node]:
            self._settle(ready)
        return ready

    @property
    def is_over(self) -> bool:
        return not self.unfinished

    def _settle(self, ready: list[StepLoad]) -> None:
        """Drops nodes without any step left, and makes ready what then needs no other: once more after each drop."""
        for step in self.task.steps:
            if step.node not in self.unfinished or any(need in self.unfinished for need in step.needs):
                continue
            if not self.unfinished[step.node]:
                del self.unfinished[step.node]
            elif self.unready[step.node] == self.unfinished[step.node]:
                self._make_ready(step, self._at_once(step), ready)

    def _at_once(self, step: StepLoad) -> int:
        return 1 if step.is_loop else step.max_concurrent or self.unready[step.node]

    def _make_ready(self, step: StepLoad, count: int, ready: list[StepLoad]) -> None:
        count = min(count, self.unready[step.node])
        self.unready[step.node] -= count
        ready += [step] * count
