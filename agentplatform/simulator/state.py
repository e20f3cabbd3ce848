"""What one simulator process holds."""

from agentplatform.simulator.calls import CallLog
from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.faults import FaultScript
from agentplatform.simulator.provider import Providers
from agentplatform.simulator.settings import SimulatorSettings


class SimulatorState:
    """Everything in memory: the clock, the log of calls, scripted faults, and the providers."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.clock = SimulatedClock()
        self.calls = CallLog()
        self.faults = FaultScript(self.clock.monotonic)
        self.providers = Providers(self.clock, settings.providers)
