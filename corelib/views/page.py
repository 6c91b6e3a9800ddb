"""A record as one HTML page that reads without a server, a script or the network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape, unescape
from typing import Any

import mistune

from .record import summary

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#1c2326;background:#fff}
h1{font-size:1.4em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.4 ui-monospace,monospace;margin:.3em 0}
.cell{border-left:3px solid #cfd8dc;padding-left:1em;margin:1em 0}.source{color:#546e7a}
.error{color:#b71c1c}td,th{overflow-wrap:break-word}
@media(prefers-color-scheme:dark){body{color:#e4e8ea;background:#151a1c}.source{color:#90a4ae}.error{color:#ef9a9a}}
"""
_MARKDOWN = mistune.create_markdown(escape=True)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # a terminal's colours, in tracebacks
_BANNER, _TAG = "papermill-error-cell-tag", re.compile(r"<[^>]*>")  # papermill's own cells, which are HTML
_INJECTED = "injected-parameters"  # papermill's own tag
# Whatever an output holds, nothing of it runs and nothing is fetched.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(notebook: bytes, record: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """The facts of a run, its steps, and the cells of its notebook with their outputs."""
    cells = json.loads(notebook)["cells"]
    title = f"{record['runbook']} · {record['environment']} · {record['outcome']}"
    parts = [
        f"<h1>{escape(str(record['id']))}</h1>",
        summary(record, entries).html(),
        "<h2>The notebook</h2>",
        *(_cell(cell) for cell in cells),
    ]
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang=en><head>{head}</head>\n<body>{body}</body></html>\n"


def _cell(cell: Mapping[str, Any]) -> str:
    source = _text(cell["source"])
    if _BANNER in cell.get("metadata", {}).get("tags", ()):
        return f"<p class=error>{escape(unescape(_TAG.sub('', source)))}</p>"
    if cell["cell_type"] == "markdown":
        return str(_MARKDOWN(source))
    if cell["cell_type"] != "code":
        return f"<pre>{escape(source)}</pre>"
    if _INJECTED in cell.get("metadata", {}).get("tags", ()):  # the whole file on a few lines: nobody reads past it
        summary_line = "<summary>The parameters as they were given</summary>"
        return f"<details>{summary_line}<pre class=source>{escape(source)}</pre></details>"
    number = cell.get("execution_count")
    outputs = "".join(_output(output) for output in cell.get("outputs", ()))
    return f"<div class=cell><pre class=source>In [{number or ' '}]: {escape(source)}</pre>{outputs}</div>"


def _output(output: Mapping[str, Any]) -> str:
    if output["output_type"] == "stream":
        return f"<pre>{escape(_text(output['text']))}</pre>"
    if output["output_type"] == "error":
        lines = _COLOUR.sub("", "\n".join(output["traceback"]))
        return f"<pre class=error>{escape(lines)}</pre>"
    data = output.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:
        return "<pre class=source>(a form, which only JupyterLab shows)</pre>"
    if "text/html" in data:
        return _text(data["text/html"])
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return f'<img alt="" src="data:{kind};base64,{escape(_text(data[kind]))}">'
    return f"<pre>{escape(_text(data.get('text/plain', '')))}</pre>"


def _text(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
