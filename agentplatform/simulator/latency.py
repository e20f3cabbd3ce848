"""How long a model takes: log-normal draws, seeded, so that a request always takes the same time."""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """Medians in seconds of one class of models; sigmas are those of the log-normal distributions."""

    first_token_seconds: float
    per_token_seconds: float
    first_token_sigma: float = 0.35
    per_token_sigma: float = 0.15


@dataclass(frozen=True, slots=True)
class Pace:
    """Drawn for one request: seconds to the first token, then seconds for each output token."""

    first_token_seconds: float
    per_token_seconds: float


PROFILES = {
    "haiku": LatencyProfile(first_token_seconds=0.40, per_token_seconds=1 / 160),
    "sonnet": LatencyProfile(first_token_seconds=0.80, per_token_seconds=1 / 80),
    "opus": LatencyProfile(first_token_seconds=1.30, per_token_seconds=1 / 55),
    "fable": LatencyProfile(first_token_seconds=1.80, per_token_seconds=1 / 40),
    "mythos": LatencyProfile(first_token_seconds=2.20, per_token_seconds=1 / 35),
}


def draw_pace(line: str, request_sha256: str, *, seed: int, scale: float) -> Pace:
    """Draw the pace of one request to a model of this line.

    The draw depends on nothing but the seed, the line and the request's digest. `scale` multiplies it.
    """
    if scale == 0:
        return Pace(0.0, 0.0)
    profile = PROFILES[line]
    generator = random.Random(f"{seed}:{line}:{request_sha256}")
    first = generator.lognormvariate(math.log(profile.first_token_seconds), profile.first_token_sigma)
    each = generator.lognormvariate(math.log(profile.per_token_seconds), profile.per_token_sigma)
    return Pace(first * scale, each * scale)
