"""A notebook run as JupyterLab runs it: a kernel with a session name, cells sent with their ids, in any order, and a
model of the notebook that is put together from the messages as JupyterLab's output area does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbformat import from_dict, writes


class Lab:
    """One open notebook and its kernel."""

    def __init__(self, path: Path, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.path = path
        self.manager = manager
        self.client = client
        self.notebook: dict[str, Any] = json.loads(path.read_text())
        self.widgets: list[bytes] = []  # what their messages held, the bytes beside them too
        self._owner: dict[str, dict[str, Any]] = {}  # request → cell
        self._shown: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}  # display id → cell and output
        self._clear: set[str] = set()

    def code(self) -> list[dict[str, Any]]:
        """The code cells, in order."""
        return [cell for cell in self.notebook["cells"] if cell["cell_type"] == "code"]

    def run(self, cell: dict[str, Any], timeout: float = 120) -> str:
        """Run one cell and wait until it is idle; returns `ok`, `error`, or `dead`."""
        request = self.send(cell)
        return self.wait(request, timeout)

    def send(self, cell: dict[str, Any]) -> str:
        """Begin to run one cell."""
        for name in [name for name, owner in self._owner.items() if owner is cell]:
            del self._owner[name]  # JupyterLab listens to the newest run of a cell only
        cell["outputs"], cell["execution_count"] = [], None
        source = "".join(cell["source"])
        session = self.client.session
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": True}
        message = session.msg("execute_request", content, metadata={"cellId": cell["id"], "deletedCells": []})
        self.client.shell_channel.send(message)
        request: str = message["header"]["msg_id"]
        self._owner[request] = cell
        return request

    def wait(self, request: str, timeout: float = 120) -> str:
        """Take messages until that request is idle, or the kernel is dead."""
        status, waited = "ok", 0.0
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=0.5)
            except Empty:
                waited += 0.5
                if not self.manager.is_alive():
                    return "dead"
                assert waited < timeout, "the kernel says nothing"
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            parent = message["parent_header"].get("msg_id", "")
            if kind.startswith("comm_"):
                self.widgets += [json.dumps(content, default=str).encode(), *map(bytes, message["buffers"])]
            if kind == "error" and parent == request:
                status = "error"
            self.take(kind, content, parent)
            if kind == "status" and parent == request and content["execution_state"] == "idle":
                return status

    def take(self, kind: str, content: dict[str, Any], parent: str) -> None:
        """One message, as JupyterLab's output area takes it."""
        name = content.get("transient", {}).get("display_id") if isinstance(content, dict) else None
        if kind == "update_display_data":
            for _, output in self._shown.get(name, []):
                output |= {"data": content["data"], "metadata": content["metadata"]}
            return
        cell = self._owner.get(parent)
        if cell is None:
            return
        if kind == "execute_input":
            cell["execution_count"] = content["execution_count"]
        elif kind == "clear_output":
            self._clear.add(parent)
            if not content["wait"]:
                self._clear_if_due(cell, parent)
        elif kind in ("stream", "display_data", "execute_result", "error"):
            self._clear_if_due(cell, parent)
            self._put(cell, kind, content, name)

    def _put(self, cell: dict[str, Any], kind: str, content: dict[str, Any], name: str | None) -> None:
        last = cell["outputs"][-1] if cell["outputs"] else {}
        if kind == "stream" and (last.get("output_type"), last.get("name")) == ("stream", content["name"]):
            last["text"] += content["text"]
            return
        output = {"output_type": kind, **{key: value for key, value in content.items() if key != "transient"}}
        cell["outputs"].append(output)
        if name:
            self._shown.setdefault(name, []).append((cell, output))

    def _clear_if_due(self, cell: dict[str, Any], parent: str) -> None:
        if parent in self._clear:
            self._clear.discard(parent)
            cell["outputs"].clear()

    def add(self, source: str, after: int) -> dict[str, Any]:
        """A new code cell after the n-th cell."""
        cell = {"cell_type": "code", "id": f"added-{after}", "metadata": {}, "source": source}
        self.notebook["cells"].insert(after, cell | {"outputs": [], "execution_count": None})
        found: dict[str, Any] = self.notebook["cells"][after]
        return found

    def save(self, path: Path) -> Path:
        """Save it as JupyterLab's server does: texts as lists of lines."""
        path.write_text(writes(from_dict(self.notebook), version=4))
        return path


@contextmanager
def opened(root: Path, name: str, **environment: str) -> Iterator[Lab]:
    """Open `runbooks/NAME.ipynb` of a project with a kernel of its own."""
    path = root / "runbooks" / f"{name}.ipynb"
    manager = KernelManager()
    given = {**os.environ, "RUNBOOKS_ROOT": str(root), "JPY_SESSION_NAME": str(path), **environment}
    manager.start_kernel(env=given, cwd=str(path.parent))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Lab(path, manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)
