"""`python -m agentplatform.simulator`: run the simulator."""

import argparse
import math
import os
import sys

from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.server import run_server
from agentplatform.simulator.settings import DEFAULT_PORT, settings_from


def main(arguments: list[str] | None = None) -> int:
    """Read options and environment and serve until stopped; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = settings_from(os.environ, seed=options.seed, latency_scale=options.latency_scale)
    except ApiError as error:
        sys.stderr.write(f"SIMULATOR_PROVIDERS: {error.message}\n")
        return 2
    return run_server(options.host, options.port, settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agentplatform.simulator",
        description="A local simulator of the Anthropic API: answers come from the prompt, no model is called.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("SIMULATOR_PORT") or str(DEFAULT_PORT),
        help="port to listen on; 0 takes a free one (default: SIMULATOR_PORT, or %(default)s)",
    )
    parser.add_argument(
        "--latency-scale",
        type=_scale,
        default=os.environ.get("SIMULATOR_LATENCY_SCALE") or "1",
        help="multiplies every latency; 0 answers at once (default: SIMULATOR_LATENCY_SCALE, or 1)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="fixes the latencies drawn (default: %(default)s)"
    )
    return parser


def _scale(text: str) -> float:
    scale = float(text)
    if not math.isfinite(scale) or scale < 0:
        raise argparse.ArgumentTypeError("must be a number of at least 0")
    return scale


if __name__ == "__main__":
    sys.exit(main())
