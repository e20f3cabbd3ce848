"""`python -m agentplatform.embedding --socket PATH`: run the embedder."""

import argparse
import os
import sys
from pathlib import Path

from agentplatform.embedding.model import ModelFileError
from agentplatform.embedding.server import run_server


def main(arguments: list[str] | None = None) -> int:
    """Read options and environment and serve until stopped; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m agentplatform.embedding",
        description="Embeds texts with a small local model, for the processes of this machine.",
    )
    parser.add_argument(
        "--socket",
        type=Path,
        default=os.environ.get("EMBEDDER_SOCKET"),
        required=not os.environ.get("EMBEDDER_SOCKET"),
        help="Unix socket to listen on (default: EMBEDDER_SOCKET)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=os.environ.get("EMBEDDER_THREADS") or "1",
        help="threads of one run of the model (default: EMBEDDER_THREADS, or 1)",
    )
    options = parser.parse_args(arguments)
    try:
        return run_server(options.socket, threads=options.threads)
    except (ModelFileError, OSError) as error:
        sys.stderr.write(f"The embedder can't start: {error}.\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
