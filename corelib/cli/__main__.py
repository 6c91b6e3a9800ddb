"""`python -m corelib.cli` is `runbooks`."""

import sys

from . import command

sys.exit(command())
