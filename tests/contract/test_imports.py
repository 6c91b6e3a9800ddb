"""Dependencies point one way; one rule over the imports keeps it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "corelib"

# Part → the parts of this package that it may import. What is pure may import only what is pure.
PURE = {"digests", "errors", "fleet", "member", "report", "plan", "parameters", "contradictions", "userdata", "tree"}
PURE_FILES = {
    *(
        "azure.desired",
        "azure.plan",
        "azure.steps",
        "azure.moves",
        "azure.removal",
        "azure.words",
        "azure.needs",
        "azure.facts",
        "azure.images",
        "hetzner.plan",
    ),
    *("azure.by_hand", "etcd.present", "azure.preflight", "azure.allowances", "azure.offers"),
    *("etcd.hosts", "etcd.lastwords", "etcd.onhost", "etcd.credentials", "etcd.v2_answers"),
    *("etcd.identity", "etcd.judge", "etcd.intended", "etcd.facts", "etcd.commands"),
}
CLIENTS = PURE | {"azure", "hetzner", "etcd", "ssh"}
ALLOWED = {
    **dict.fromkeys(PURE, PURE),
    "project": {"errors"},
    "ssh": {"errors"},
    "references": {"errors"},
    "azure": CLIENTS,
    "hetzner": CLIENTS,
    "etcd": CLIENTS,
    "record": {"errors", "record"},
    "views": {"views", "plan", "report", "etcd"},
    "kernel": {"errors", "kernel", "views", "record"},
    # The lab shares no code with what it stands in for: otherwise one bug would render and read consistently.
    "lab": {"digests", "errors", "lab"},
    "runbook": CLIENTS | {"record", "kernel", "views", "runbook", "lab", "project", "references"},
    "cli": {"runbook", "record", "views", "userdata", "parameters", "project", "errors", "references", "lab"},
}
IO_MODULES = {"os", "socket", "subprocess", "requests", "asyncssh", "http", "azure", "tornado", "pathlib", "shutil"}


def _imports(file: Path) -> set[tuple[int, str]]:
    """(level, dotted name) of every import in a file, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            found |= {(node.level, base)} if base else {(node.level, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(0, alias.name) for alias in node.names}
    return found


def _inner(file: Path) -> set[str]:
    """The modules of this package that a file imports, dotted, without `corelib.`."""
    package = file.relative_to(ROOT).parts[:-1]
    names = set()
    for level, name in _imports(file):
        if level:
            names.add(".".join([*package[: len(package) - level + 1], *name.split(".")]))
        elif name.split(".")[0] == "corelib":
            names.add(name.removeprefix("corelib").lstrip("."))
    return {name for name in names if name}


FILES = sorted(ROOT.rglob("*.py"))


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_a_part_imports_only_what_it_may(file: Path) -> None:
    part = _module(file).split(".")[0]
    if part == "__init__":
        pytest.skip("the package itself imports nothing")
    used = {name.split(".")[0] for name in _inner(file)}
    assert used <= ALLOWED[part] | {part}, f"{_module(file)} imports {used - ALLOWED[part]}"


@pytest.mark.parametrize(
    "file", [f for f in FILES if _module(f).split(".")[0] in PURE or _module(f) in PURE_FILES], ids=_module
)
def test_what_is_pure_does_no_io(file: Path) -> None:
    outer = {name.split(".")[0] for level, name in _imports(file) if not level}
    assert not outer & IO_MODULES


def test_the_record_needs_no_jupyter() -> None:
    for file in (ROOT / "record").glob("*.py"):
        outer = {name.split(".")[0] for level, name in _imports(file) if not level}
        assert not outer & {"IPython", "ipykernel", "papermill", "nbformat", "ipywidgets"}


def test_every_pure_file_is_there() -> None:
    assert {_module(f) for f in FILES} >= PURE_FILES


def test_what_redaction_cannot_reach_is_not_used() -> None:
    """An Output widget takes messages past the wire, and a forked process writes to the terminal by itself."""
    for file in FILES:
        if _module(file).split(".")[0] == "lab":
            continue  # its processes are not a kernel's
        tree = ast.parse(file.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        outer = {name.split(".")[0] for level, name in _imports(file) if not level}
        assert not names & {"Output", "fork", "forkpty", "ProcessPoolExecutor"}, _module(file)
        assert "multiprocessing" not in outer, _module(file)
