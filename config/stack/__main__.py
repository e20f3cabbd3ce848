"""``python -m config.stack``: see ``config.stack.command``."""

import sys

from config.stack.command import main

sys.exit(main())
