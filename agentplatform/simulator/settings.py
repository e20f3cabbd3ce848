"""What one simulator process is started with."""

from dataclasses import dataclass

DEFAULT_PORT = 8088


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Seed and pace of one simulator.

    `latency_scale` multiplies every drawn latency: 1 is the pace of the real models, 0 answers at once.
    `seed` fixes the latency drawn for a given request.
    """

    seed: int = 0
    latency_scale: float = 1.0
