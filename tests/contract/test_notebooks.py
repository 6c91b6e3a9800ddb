"""What every runbook notebook keeps to."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

RUNBOOKS = Path(__file__).parents[2] / "runbooks"
NAMES = ["render", "deploy-azure", "install-hetzner", "verify-etcd"]
FORBIDDEN = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.For,
    ast.While,
    ast.If,
    ast.Try,
    ast.With,
    ast.Lambda,
)


def _cells(name: str) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads((RUNBOOKS / f"{name}.ipynb").read_text())["cells"]
    return cells


def _code(name: str) -> list[tuple[str, list[str]]]:
    return [("".join(c["source"]), c["metadata"].get("tags", [])) for c in _cells(name) if c["cell_type"] == "code"]


def test_the_four_runbooks_are_there() -> None:
    assert {file.stem for file in RUNBOOKS.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_short_and_prose_comes_first(name: str) -> None:
    kinds = [cell["cell_type"] for cell in _cells(name)]
    assert len(kinds) <= 12
    assert kinds[0] == "markdown"
    assert all(kinds[n - 1] == "markdown" for n, kind in enumerate(kinds) if kind == "code")


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_says_what_it_is_for(name: str) -> None:
    first = "".join(_cells(name)[0]["source"])
    for word in ("**For:**", "**Before:**", "**Can break:**", "**Back:**"):
        assert word in first


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_takes_parameters_and_ends(name: str) -> None:
    code = _code(name)
    assert f'run = runbook.begin("{name}")' in code[0][0]
    assert code[1][1] == ["parameters"]
    assert [tags for _, tags in code].count(["parameters"]) == 1
    assert code[-1][0].strip() == "run.finish()"


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_safe_literals(name: str) -> None:
    values = {}
    for statement in ast.parse(_code(name)[1][0]).body:
        assert isinstance(statement, ast.Assign)
        assert isinstance(statement.targets[0], ast.Name)
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    assert values.pop("environment") == "lab"
    assert not any(values.values()), "every other default is empty"


@pytest.mark.parametrize("name", NAMES)
def test_code_cells_are_single_calls_that_show_something(name: str) -> None:
    for source, tags in _code(name):
        assert "!" not in source
        assert "%" not in source
        tree = ast.parse(source)
        assert not [node for node in ast.walk(tree) if isinstance(node, FORBIDDEN)]
        if "parameters" not in tags:
            assert len(source.strip().splitlines()) <= 5
            assert len([node for node in ast.walk(tree) if isinstance(node, ast.Call) and _ours(node)]) == 1
            assert isinstance(tree.body[-1], ast.Expr)


@pytest.mark.parametrize("name", NAMES)
def test_no_output_is_committed(name: str) -> None:
    for cell in _cells(name):
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def _ours(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute)
