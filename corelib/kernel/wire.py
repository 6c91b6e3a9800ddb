"""The wire: the one place through which every message leaves the kernel, on every channel and from every thread.

ipykernel's own hooks are thread-local and miss the streams; `kernel.session.send` misses nothing (replies, streams,
displays, widgets' state). There secrets are redacted, streams are made whole plain lines, so that a secret written
in two halves is seen as one, and each cell's outputs are told to the journal.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import RunbookError
from .cells import Cells
from .overflow import Overflow
from .redaction import Redactor, unfinished

Send = Callable[..., Any]
_LONGEST_KEY = 1 << 16  # characters that are held back for the end of a private key
_FURTHER = ("parent", "ident", "buffers", "track", "header", "metadata")  # of `Session.send`, in their order


class Listener(Protocol):
    """The run that hears what the cells said."""

    def cell_log(self, number: int) -> Path:
        """Where the whole output of a cell goes that is too long to be shown."""

    def before_idle(self) -> None:
        """A cell is done and journaled, and is about to be reported so. Raises RunbookError."""


@dataclass
class _Stream:
    """One stream of one cell: what was written after its last line break, and the way to send."""

    forward: Callable[[Any], Any]
    partial: str = ""


class Wire:
    """A `session.send` that redacts and tells. `install` puts it in the place of the real one."""

    def __init__(self, send: Send, redactor: Redactor) -> None:
        self.redactor = redactor
        self._send = send
        self._lock = threading.RLock()
        self._streams: dict[tuple[str, str], _Stream] = {}  # by request and name
        self._overflows: dict[str, Overflow] = {}  # by request
        self._cells: Cells | None = None
        self._run: Listener | None = None
        self._number = 0
        self._gap = False  # something could not be journaled, and the operator knows it

    def listen(self, run: Listener, cells: Cells, request: Mapping[str, Any]) -> None:
        """Tell this run from now on; `request` is the one that is being executed."""
        with self._lock:
            self._run, self._cells, self._number = run, cells, 0
            self._begin(request)

    def catch_up(self) -> None:
        """Journal of the cells what could not be written before. Raises RunbookError if it still cannot."""
        with self._lock:
            if self._cells is not None:
                self._cells.catch_up()

    def deaf(self) -> None:
        """Tell nobody any more."""
        with self._lock:
            self._run = self._cells = None

    def __call__(self, stream: Any, msg_or_type: Any, content: Any = None, *rest: Any, **options: Any) -> Any:
        """Send one message as `jupyter_client.Session.send` does: a whole one, or its type and content."""
        whole = isinstance(msg_or_type, dict)
        kind = msg_or_type["header"]["msg_type"] if whole else msg_or_type
        body = msg_or_type["content"] if whole else content
        options |= dict(zip(_FURTHER, rest, strict=False))
        parent = _id(msg_or_type.get("parent_header") if whole else options.get("parent"))

        def forward(clean: Any) -> Any:
            beside = self._beside(options)
            if whole:
                return self._send(stream, {**self._beside(msg_or_type), "content": clean}, content, **beside)
            return self._send(stream, msg_or_type, clean, **beside)

        with self._lock:
            if kind == "stream":
                return self._take_stream(body, parent, forward)
            if kind == "execute_input":
                self._begin(executing())
            if kind == "status" and body["execution_state"] == "idle":
                self._idle(parent)
            clean = self.redactor.data(body)
            self._tell(kind, clean, parent)
            return forward(clean)

    def _beside(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """What goes along with a message's content, clean: its metadata, and the buffers of a widget's bytes."""
        clean = dict(message)
        if message.get("metadata"):
            clean["metadata"] = self.redactor.data(message["metadata"])
        if message.get("buffers"):
            clean["buffers"] = [self.redactor.buffer(one) for one in message["buffers"]]
        return clean

    def _take_stream(self, body: Mapping[str, Any], parent: str, forward: Callable[[Any], Any]) -> Any:
        """Send the whole lines of a stream; keep what follows the last line break, and a private key with no end."""
        state = self._streams.setdefault((parent, body["name"]), _Stream(forward))
        state.forward = forward
        text = state.partial + _plain(body["text"])
        end = text.rfind("\n") + 1
        if len(text) < _LONGEST_KEY:
            end = min(end, unfinished(text))
        state.partial = text[end:]
        return self._send_lines(text[:end], body["name"], parent, forward) if end else None

    def _send_lines(self, text: str, name: str, parent: str, forward: Callable[[Any], Any]) -> Any:
        clean = self.redactor.text(text)
        overflow = self._overflows.get(parent)
        if overflow is not None:
            clean = self._guarded(overflow.take, clean) or ""
        if not clean:
            return None
        content = {"name": name, "text": clean}
        self._tell("stream", content, parent)
        return forward(content)

    def _begin(self, request: Mapping[str, Any]) -> None:
        """A cell begins: the run hears of it, and its streams have their limit."""
        run = self._run
        if run is not None and self._cells is not None and request:
            self._number += 1
            number = self._number
            self._overflows[request["header"]["msg_id"]] = Overflow(lambda: run.cell_log(number))
            self._guarded(self._cells.begin, request)

    def _idle(self, parent: str) -> None:
        """Send what was held back, then journal the cell, then let the run end if this was its last one."""
        for (owner, name), state in list(self._streams.items()):
            if state.partial:
                text, state.partial = state.partial, ""
                self._send_lines(text, name, owner, state.forward)
            if owner == parent:
                del self._streams[owner, name]
        self._send_rest(parent)
        if self._cells is not None and self._run is not None:
            self._guarded(self._settle, self._cells, self._run, parent)

    def _settle(self, cells: Cells, run: Listener, parent: str) -> None:
        """A run ends only if every cell is in its journal: what is missing there would look like a forgery."""
        cells.idle(parent)
        self._gap = False
        run.before_idle()

    def _send_rest(self, parent: str) -> None:
        overflow = self._overflows.pop(parent, None)
        rest = self._guarded(overflow.end) if overflow is not None else ""
        if rest:
            content = {"name": "stdout", "text": rest}
            self._tell("stream", content, parent)
            self._say(content)

    def _tell(self, kind: str, content: Any, parent: str) -> None:
        if self._cells is not None and isinstance(content, dict):
            self._guarded(self._cells.take, kind, content, parent)

    def _guarded(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """Do what writes to the record; where that fails the kernel has to go on sending, and the operator is told.

        Told once, until everything could be written again. The run stops by itself: whatever changes something is
        journaled first, and that raises in its place.
        """
        try:
            return act(*arguments)
        except (RunbookError, OSError) as problem:
            if not self._gap:
                self._gap = True
                content = {"name": "stderr", "text": f"THE RECORD IS INCOMPLETE. {problem}\n"}
                self._tell("stream", content, _id(executing()))
                self._say(content)
            return None

    def _say(self, content: Mapping[str, Any]) -> None:
        """A stream message of our own, in the cell that is being executed."""
        kernel = _kernel()
        if kernel is not None:
            ident = kernel._topic("stream")  # noqa: SLF001 - what ipykernel itself sends its streams under
            self._send(kernel.iopub_socket, "stream", content, parent=kernel.get_parent("shell"), ident=ident)


def install() -> Wire:
    """The wire of the running kernel; the first call puts it in, and closes the original terminal, another way out."""
    session = _kernel().session
    if not isinstance(session.send, Wire):
        session.send = Wire(session.send, Redactor())
        null = os.open(os.devnull, os.O_WRONLY)
        for terminal in (1, 2):
            os.dup2(null, terminal)
        os.close(null)
    wire: Wire = session.send
    return wire


def executing() -> Mapping[str, Any]:
    """The request to execute a cell that this kernel works on; empty if it does something else."""
    kernel = _kernel()
    request: Mapping[str, Any] = kernel.get_parent("shell") if kernel is not None else {}
    return request if request.get("header", {}).get("msg_type") == "execute_request" else {}


def in_kernel() -> bool:
    """True inside a Jupyter kernel."""
    try:
        from IPython import get_ipython  # noqa: PLC0415 - absent where no Jupyter is installed
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _kernel() -> Any:
    from ipykernel.kernelapp import IPKernelApp  # noqa: PLC0415 - only a kernel has it loaded

    return IPKernelApp.instance().kernel if IPKernelApp.initialized() else None


def _id(message: Any) -> str:
    """The id of a request, given as a whole message or as its header; empty if there is none."""
    if not isinstance(message, dict):
        return ""
    return str((message.get("header") or message).get("msg_id", ""))


def _plain(text: str) -> str:
    """A stream without what a terminal would overwrite: front ends fold that, and the saved cell would differ."""
    if "\r" in text or "\b" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\b", "")
    return text
