#!/usr/bin/env python
"""Django's command line for agentplatform. At a terminal it works on the stack that runs from the same home."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] in (["migrate"], ["reconcile"]):
        os.environ.setdefault(
            "DATABASE_ANSWER_SECONDS", "0"
        )  # an index, or a sum, may take as long as it takes
    from config.stack.running import adopt_into_process

    adopt_into_process()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
