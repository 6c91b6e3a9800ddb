"""`python -m corelib.cli` is `runbooks`."""

import sys

from . import main

sys.exit(main())
