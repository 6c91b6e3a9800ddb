"""The normal form of a cell's outputs: equal in the kernel, in papermill's file and in JupyterLab's. Pure.

Adjacent streams of one name are one output, empty ones are none; `transient`, execution counts and the difference
between a result and a display are left out; lists of lines are joined; base64 of images is stripped of white space.
An output's digest is the SHA-256 of its normal form as JSON with sorted keys (`digest`); a cell's outputs are the
list of their digests (`digests`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

Output = Mapping[str, Any]


def digests(outputs: Iterable[Output]) -> list[str]:
    """The digest of each output of a cell, in order, as nbformat 4 has them."""
    found: list[tuple[str, Any]] = []  # (stream's name or "", its text or the output's digest)
    for output in outputs:
        name, text = _stream(output)
        if not name:
            found.append(("", digest(output)))
        elif found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + text)
        elif text:
            found.append((name, text))
    return [digest(_as_stream(name, what)) if name else what for name, what in found]


def digest(output: Output) -> str:
    """SHA-256 of one output's normal form, 64 hex digits."""
    name, text = _stream(output)
    if name:
        return Stream(name, text).digest
    return _sha256(_json(_normal(output)))


class Stream:
    """The digest of a stream that grows, without keeping its text."""

    def __init__(self, name: str, text: str = "") -> None:
        self.name = name
        self._hash = hashlib.sha256(_bytes(f'{{"name":{_json(name)},"text":"'))
        self.add(text)

    def add(self, text: str) -> None:
        """More text at the end."""
        self._hash.update(_bytes(_json(text)[1:-1]))

    @property
    def digest(self) -> str:
        """Of what was added so far."""
        whole = self._hash.copy()
        whole.update(b'","type":"stream"}')
        return whole.hexdigest()


def source_digest(source: str | list[str]) -> str:
    """SHA-256 of a cell's source."""
    return _sha256(_text(source))


def _stream(output: Output) -> tuple[str, str]:
    """Name and text of a stream; an empty name for anything else."""
    if output["output_type"] != "stream":
        return "", ""
    return str(output.get("name", "stdout")), _text(output.get("text", ""))


def _as_stream(name: str, text: str) -> Output:
    return {"output_type": "stream", "name": name, "text": text}


def _normal(output: Output) -> dict[str, Any]:
    if output["output_type"] == "error":
        return {"type": "error", **{name: output.get(name) for name in ("ename", "evalue", "traceback")}}
    data = {mime: _content(mime, value) for mime, value in output.get("data", {}).items()}
    return {"type": "display", "data": data, "metadata": output.get("metadata", {})}


def _content(mime: str, value: Any) -> Any:
    """One representation; JSON is data, everything else is text (nbformat 4: a multiline string)."""
    if mime == "application/json" or mime.endswith("+json"):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    if mime.startswith("image/") and not mime.endswith("+xml") and isinstance(value, str):
        return "".join(value.split())
    return value


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _sha256(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()
