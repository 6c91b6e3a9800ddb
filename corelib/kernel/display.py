"""A view that changes while a cell runs: one output, updated in place."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

from ..views import View

_PAUSE = 0.2  # seconds between two updates: JupyterLab and papermill both slow down on floods of messages


class Live:
    """Shows a view and replaces it; from any thread, at most five times a second unless `force` is given.

    Outside a kernel it shows nothing: the command's own front end has the journal.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._lock = threading.Lock()
        # The cell that an output belongs to is a context variable of ipykernel; other threads borrow this one.
        self._context = contextvars.copy_context()
        self._handle: Any = None
        self._last = 0.0

    def show(self, view: View | Callable[[], View], *, force: bool = False) -> None:
        """Show this view in the place of the last one; a function that makes it is called only if it is shown."""
        with self._lock:
            if self._shown and (force or time.monotonic() - self._last >= _PAUSE):
                self._last = time.monotonic()
                self._context.run(self._put, view() if callable(view) else view)

    def _put(self, view: View) -> None:
        from IPython.display import display  # noqa: PLC0415 - absent where no Jupyter is installed

        if self._handle is None:
            self._handle = display(view, display_id=True)
        else:
            self._handle.update(view)
