"""A record's page: everything that was shown, nothing that runs or is fetched."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corelib.views.page import page
from corelib.views.record import summary

RECORD = {
    "id": "20261123T030000Z-deploy-azure-0a1b2c",
    "runbook": "deploy-azure",
    "environment": "prd",
    "outcome": "failed",
    "operator": "op@host",
    "started": "2026-11-23T03:00:00+00:00",
    "ended": "",
    "reason": "ticket <7>",
    "remark": "BREAK GLASS, not countersigned",
}
ENTRIES: list[dict[str, Any]] = [
    {"n": 0, "time": "2026-11-23T03:00:00+00:00", "kind": "start", "front_end": "papermill", "pid": 7, "clean": False},
    {"n": 1, "time": "2026-11-23T03:00:01+00:00", "kind": "identity", "provider": "azure", "identity": {"tid": "t"}},
    {"n": 2, "time": "2026-11-23T03:00:02+00:00", "kind": "break-glass", "plan": "plan-1", "reason": "nobody <answers>"},
    {"n": 3, "time": "2026-11-23T03:00:03+00:00", "kind": "step", "target": "a/b", "phase": "begin", "detail": ""},
    {"n": 4, "time": "2026-11-23T03:00:04+00:00", "kind": "step", "target": "c/d", "phase": "done", "detail": "x",
     "facts": {"seconds": 1.5, "requests": ["r1", "r2", "r1"]}},
    {"n": 5, "time": "2026-11-23T03:00:04+00:00", "kind": "look", "at": "what is there", "requests": ["l1", "l2"]},
    {"n": 6, "time": "2026-11-23T03:00:05+00:00", "kind": "error", "stage": "apply", "message": "it <failed>"},
]  # fmt: skip


def notebook(*cells: dict[str, Any]) -> bytes:
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


def code(*outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": "1 < 2", "execution_count": 3, "outputs": list(outputs)}


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_it_shows_what_was_shown() -> None:
    text = page(
        notebook(
            {"cell_type": "markdown", "source": ["# Title\n", "**For:** <b>you</b>"]},
            code({"output_type": "stream", "name": "stdout", "text": ["a <b>\n", "c"]}),
            code({"output_type": "display_data", "data": {"text/html": "<table><tr><td>cell</td></tr></table>"}}),
            code({"output_type": "display_data", "data": {"image/png": "aGVsbG8="}}),
            code({"output_type": "error", "traceback": ["\x1b[31mBoom\x1b[0m: <x>"]}),
            code({"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}}}),
        ),
        RECORD,
        ENTRIES,
    )
    for part in (
        "<h1>Title</h1>",
        "a &lt;b&gt;\nc",
        "<td>cell</td>",
        "data:image/png;base64,aGVsbG8=",
        "Boom: &lt;x&gt;",
    ):
        assert part in text
    assert "&lt;b&gt;you&lt;/b&gt;" in text, "prose is no HTML"
    assert "which only JupyterLab shows" in text


def test_papermills_banner_is_read_as_text() -> None:
    """What papermill puts before a cell that failed is HTML with a link; the page shows its words."""
    source = "<span style='color:red'>An Exception was encountered at '<a href=\"#x\">In [5]</a>' &amp; more.</span>"
    banner = {"cell_type": "markdown", "source": source, "metadata": {"tags": ["papermill-error-cell-tag"]}}
    text = page(notebook(banner), RECORD, ENTRIES)
    assert "An Exception was encountered at &#x27;In [5]&#x27; &amp; more." in text
    assert "<a" not in text


def test_it_says_what_an_auditor_asks() -> None:
    text = summary(RECORD, ENTRIES).text()
    for part in (
        "deploy-azure in prd: failed",
        "BREAK GLASS, not countersigned",
        "BREAK GLASS: plan-1, nobody <answers>",
        "no end was written",
        "begun, its end unknown",
        "r1 and 1 more",
        "it <failed>",
        "tree changed",
        "nobody: unsigned",
    ):
        assert part in text
    assert "nobody &lt;answers&gt;" in page(notebook(), RECORD, ENTRIES)


@given(st.text(), st.text())
def test_nothing_of_it_runs_or_is_fetched(source: str, shown: str) -> None:
    cells = [
        {"cell_type": "markdown", "source": f"<script>x</script>{source}"},
        {"cell_type": "raw", "source": f"<script src=//x>{source}"},
        code(
            {"output_type": "stream", "text": f"<script>{shown}"},
            {"output_type": "error", "traceback": [f"<img {shown}"]},
        ),
    ]
    text = page(notebook(*cells), RECORD, ENTRIES)
    tags = Tags(text).found
    assert "script" not in {tag for tag, _ in tags}
    (policy,) = [a["content"] for tag, a in tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert re.match(r"default-src 'none'; style-src 'unsafe-inline'; img-src data:$", policy)


def test_a_step_without_an_end_shows_what_its_provider_was_asked() -> None:
    """That is where somebody needs it: to ask Azure what became of it."""

    def step(phase: str, **facts: Any) -> dict[str, Any]:
        at = "2026-11-23T03:00:03+00:00"
        return {"n": 3, "time": at, "kind": "step", "target": "a/b", "phase": phase, "detail": "", "facts": facts}

    sent = [step("begin"), step("wait", client_request="c1")]
    assert "no answer to c1 (our own id)" in summary(RECORD, [*ENTRIES[:3], *sent]).text()
    accepted = step("wait", operation="/operations/1", requests=["r1"])
    text = summary(RECORD, [*ENTRIES[:3], *sent, accepted]).text()
    assert "r1" in text
    assert "no answer" not in text
    done = step("done", requests=["r2"], unanswered=["c1"])
    assert "r2; no answer to c1 (our own id)" in summary(RECORD, [*ENTRIES[:3], *sent, done]).text()


def test_looks_are_counted() -> None:
    assert "2 requests; the journal has their ids" in summary(RECORD, ENTRIES).text()
