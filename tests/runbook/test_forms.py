"""The forms as JupyterLab shows them: a kernel with a session name, widgets used as a person uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from corelib import lab
from corelib.record import records
from tests.project import lay_out

NETWORK = "127.0.9.0/24"

# What a person does in the browser, done to the same widgets from a cell: type a name, press the button.
TYPE = """
import warnings
from ipywidgets import HTML, Button, Text, Widget
warnings.simplefilter("ignore")
def press(name):
    shown = list(Widget.widgets.values())
    [w for w in shown if isinstance(w, Text) and w.placeholder == "type its name"][-1].value = name
    [w for w in shown if isinstance(w, Button)][-1].click()
    print([w.value for w in shown if isinstance(w, HTML)])
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "project", "127.0.9")
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def test_a_plan_is_approved_by_typing_the_environments_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(root / "runbooks" / "deploy-azure.ipynb"))
    monkeypatch.setenv("RUNBOOKS_ROOT", str(root))
    notebook = nbformat.read(root / "runbooks" / "deploy-azure.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    extra = {name: nbformat.v4.new_code_cell(source) for name, source in SCRIPT.items()}
    begin, parameters, read, plan, apply, finish = code
    again = [nbformat.v4.new_code_cell(cell.source) for cell in (apply, finish, apply)]
    order = [begin, parameters, read, plan, apply, finish, extra["wrong"], again[0], extra["right"], again[2], again[1]]
    notebook.cells = order
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(root / "runbooks")}}).execute()
    assert "awaits its approval" in _shown(order[4])
    assert "Not approved: this plan is for" in _shown(order[6])
    assert "awaits its approval" in _shown(order[7]), "a wrong name approves nothing"
    assert "Applied: 22 created." in _shown(order[9])
    assert "deploy-azure: succeeded." in _shown(order[10])
    assert [one.outcome for one in records(root)] == ["awaiting approval", "succeeded"]


SCRIPT = {"wrong": TYPE + "press('prd')", "right": "press('lab')"}


def test_the_environment_is_chosen_in_a_form(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(root / "runbooks" / "render.ipynb"))
    monkeypatch.setenv("RUNBOOKS_ROOT", str(root))
    notebook = nbformat.read(root / "runbooks" / "render.ipynb", as_version=4)
    begin, parameters, read, render, finish = [cell for cell in notebook.cells if cell.cell_type == "code"]
    choose = nbformat.v4.new_code_cell(
        "from ipywidgets import Dropdown, Widget\n"
        "[w for w in Widget.widgets.values() if isinstance(w, Dropdown)][-1].value = 'prd'"
    )
    notebook.cells = [begin, parameters, read, choose, nbformat.v4.new_code_cell(read.source), render, finish]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(root / "runbooks")}}).execute()
    assert "azure-prd-04" in _shown(render)
    assert records(root)[-1].environment == "prd"


def _shown(cell: nbformat.NotebookNode) -> str:
    return "\n".join(str(out.get("text") or out.get("data", {}).get("text/plain", "")) for out in cell.outputs)
