"""The wire: the one place through which every message leaves the kernel, on every channel and from every thread.

ipykernel's own hooks are thread-local and miss the streams; `kernel.session.send` misses nothing (replies, streams,
displays, widgets' state). There secrets are redacted, and streams are made whole lines, so that a secret written in
two halves is seen as one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from .redaction import Redactor

Send = Callable[..., Any]


class Wire:
    """A `session.send` that redacts. `install` puts it in the place of the real one."""

    def __init__(self, send: Send, redactor: Redactor) -> None:
        self._send = send
        self._redactor = redactor
        self._lock = threading.RLock()
        self._partial: dict[tuple[str, str], tuple[str, Callable[[str], Any]]] = {}

    def __call__(self, stream: Any, msg_or_type: Any, content: Any = None, *rest: Any, **options: Any) -> Any:
        """Send one message as `jupyter_client.Session.send` does: a whole one, or its type and content."""
        whole = isinstance(msg_or_type, dict)
        kind = msg_or_type["header"]["msg_type"] if whole else msg_or_type
        body = msg_or_type["content"] if whole else content

        def forward(clean: Any) -> Any:
            if whole:
                return self._send(stream, {**msg_or_type, "content": clean}, content, *rest, **options)
            return self._send(stream, msg_or_type, clean, *rest, **options)

        with self._lock:
            if kind == "stream":
                parent = msg_or_type.get("parent_header", {}).get("msg_id", "") if whole else ""
                return self._lines((parent, body["name"]), body["text"], forward)
            if kind == "status" and body["execution_state"] == "idle":
                self._flush()
            return forward(self._redactor.data(body))

    def _lines(self, key: tuple[str, str], text: str, forward: Callable[[Any], Any]) -> Any:
        """Send the whole lines of a stream; keep what follows the last line break for the next write, or for idle."""

        def send(lines: str) -> Any:
            return forward({"name": key[1], "text": self._redactor.text(lines)})

        before = self._partial.pop(key, ("", send))[0]
        whole, newline, partial = (before + text).rpartition("\n")
        if partial:
            self._partial[key] = (partial, send)
        return send(whole + newline) if newline else None

    def _flush(self) -> None:
        for text, send in self._partial.values():
            send(text)
        self._partial.clear()


def install(redactor: Redactor) -> None:
    """Put the wire into the running kernel, once, and close the original terminal, which would be another way out."""
    from ipykernel.kernelapp import IPKernelApp  # noqa: PLC0415 - only a kernel has it loaded

    kernel = IPKernelApp.instance().kernel
    session = kernel.session
    if not isinstance(session.send, Wire):
        session.send = Wire(session.send, redactor)
        null = os.open(os.devnull, os.O_WRONLY)
        for terminal in (1, 2):
            os.dup2(null, terminal)
        os.close(null)


def in_kernel() -> bool:
    """True inside a Jupyter kernel."""
    try:
        from IPython import get_ipython  # noqa: PLC0415 - absent where no Jupyter is installed
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
