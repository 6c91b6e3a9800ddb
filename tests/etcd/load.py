"""Load on a cluster, from a process of its own: `python -m tests.etcd.load URL PUTS_PER_SECOND`, until it is ended.

Writes a few keys over and over, compacts now and then, and defragments that one member sometimes.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COMPACT, DEFRAGMENT = 200, 1000  # puts in between


@contextlib.contextmanager
def load(url: str, rate: int) -> Iterator[None]:
    """As long as the block lasts; fails if it did not last as long."""
    command = [sys.executable, "-m", "tests.etcd.load", url, str(rate)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE)
    try:
        yield
        assert process.poll() is None, process.communicate(timeout=5)[1].decode()[-2000:]
    finally:
        process.kill()
        process.communicate(timeout=5)


def main(url: str, rate: int) -> None:
    """Write until somebody ends this process; a write that fails is tried again, as clients do in elections."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    done = 0
    next_at = time.monotonic()
    while True:
        try:
            _write(connection, done)
            done += 1
        except (OSError, http.client.HTTPException, KeyError):
            connection.close()
            time.sleep(0.05)
        next_at = max(next_at + 1 / rate, time.monotonic() - 1)
        time.sleep(max(0.0, next_at - time.monotonic()))


def _write(connection: http.client.HTTPConnection, count: int) -> None:
    put = _post(connection, "/v3/kv/put", {"key": _text(f"load{count % 50}"), "value": _text("x" * 512)})
    if count % COMPACT == COMPACT - 1:
        _post(connection, "/v3/kv/compaction", {"revision": str(int(put["header"]["revision"]) - 20)})
    if count % DEFRAGMENT == DEFRAGMENT - 1:
        _post(connection, "/v3/maintenance/defragment", {})


def _post(connection: http.client.HTTPConnection, path: str, content: dict[str, Any]) -> dict[str, Any]:
    connection.request("POST", path, json.dumps(content))
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


def _text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
