"""What a run is given: the parameters file, which is the authority, and the names that were set beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .. import parameters
from ..errors import BadInput, Refused
from ..kernel.frontend import FrontEnd
from ..kernel.redaction import Redactor
from ..parameters import Parameters
from ..project import Project
from ..views import Note, Page, Table, View
from ..views.findings import findings

if TYPE_CHECKING:
    from .targets import Targets


_LISTS = {
    "consent": '["wipe wwn-0x…"]',
    "replace": '["azure-prd-02"]',
    "destroy": '["azure-prd-a"]',
    "restore": '["20261129T041500Z-azure-prd-02.db.age"]',
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The values of the parameters cell after injection, checked; `file` is where the fleet is read from."""

    file: Path
    environment: Any
    fleet: Any
    reason: str
    ticket: str
    approved_plan: str
    consent: tuple[str, ...]
    break_glass: str
    force_unlock: str
    replace: tuple[str, ...] = ()
    destroy: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()


def gather(names: Mapping[str, Any], front_end: FrontEnd, at: Project) -> Inputs:
    """Check the notebook's own parameters and find the file. Raises BadInput, all problems in one."""
    problems = []
    environment = names.get("environment")
    approved = names.get("approved_plan", "")
    texts = {name: names.get(name, "") for name in ("reason", "ticket", "break_glass", "force_unlock")}
    problems += [f"{name}: must be text; found {text!r}" for name, text in texts.items() if not isinstance(text, str)]
    if not isinstance(approved, str) or not re.fullmatch(r"(plan-[0-9a-f]{16})?", approved):
        problems.append(f"approved_plan: must be a plan's digest, 'plan-' and 16 hex digits; found {approved!r}")
    lists = {name: names.get(name, []) for name in _LISTS}
    problems += [
        f"{name}: must be a list of texts, such as {_LISTS[name]}; found {found!r}"
        for name, found in lists.items()
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found)
    ]
    if front_end.file is None and not isinstance(environment, str):
        problems.append(f"environment: must be the name of a file in parameters/; found {environment!r}")
    if problems:
        raise BadInput("reading the notebook's parameters", "\n".join(problems), "correct them; nothing was done")
    file = front_end.file or at.parameters(str(environment))
    several: dict[str, Any] = {name: tuple(found) for name, found in lists.items()}
    return Inputs(file, environment, names.get("fleet"), approved_plan=str(approved), **several, **texts)


def read(given: Inputs, at: Project) -> Parameters:
    """The parameters file, and a refusal of what was set differently beside it."""
    loaded = load(given.file, at)
    text = as_injected(given.file)
    override = _difference(given.fleet, text["fleet"], "fleet") if given.fleet is not None else ""
    if given.environment != text["environment"]:
        override = f"environment: the file says {text['environment']!r}, given was {given.environment!r}"
    if override:
        raise Refused(
            f"reading {loaded.source}", f"it was overridden: {override}", "the file is the authority: change it"
        )
    return loaded


class SecretGiven(BadInput):
    """A parameter holds a secret itself, instead of a reference to one; `secrets` are the values."""

    def __init__(self, doing: str, found: str, remedy: str, secrets: tuple[str, ...]) -> None:
        super().__init__(doing, found, remedy)
        self.secrets = secrets


def refuse_secrets(given: Mapping[str, Any]) -> None:
    """Raise SecretGiven if a value looks like a secret by its form, at whatever depth."""
    for name, value in given.items():
        found = tuple(text for text in _texts(value) if Redactor().finds(text))
        if found:
            remedy = "name where it is kept (env:NAME, file:path), never the secret itself"
            raise SecretGiven("reading the parameters", f"{name} holds what looks like a secret", remedy, found)


def saved_already(error: SecretGiven, front_end: FrontEnd) -> BadInput:
    """The same error, with what to do about the copies that were made before anything here could run."""
    if front_end.name not in ("papermill", "jupyter"):
        return error
    found = f"{error.found}\nIt is saved already, in the notebook's parameters cell and its metadata"
    return BadInput(
        error.doing, found, f"replace that secret with a new one, delete the saved notebook; {error.remedy}"
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def environments(at: Project) -> list[str]:
    """The environments that have a parameters file."""
    return sorted(file.stem for file in (at.root / "parameters").glob("*.yaml"))


def load(file: Path, at: Project) -> Parameters:
    """Read one file. Raises BadInput if it is not there, ParametersError if it is wrong."""
    name = str(file.relative_to(at.root)) if file.is_relative_to(at.root) else str(file)
    try:
        text = file.read_bytes().decode()
    except OSError as problem:
        remedy = f"environments that are there: {', '.join(environments(at))}"
        raise BadInput(f"reading {name}", problem.strerror or str(problem), remedy) from None
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise BadInput(f"reading {name}", f"line {line} is not UTF-8", "save the file as UTF-8") from None
    try:
        return parameters.load(text, name)
    except parameters.ParametersError as error:
        if error.secrets:
            raise SecretGiven(error.doing, error.found, "put references in their place", error.secrets) from None
        raise


def as_injected(file: Path) -> dict[str, Any]:
    """The top-level keys of a parameters file as papermill's `-f` would inject them."""
    content: dict[str, Any] = yaml.load(file.read_text(), Loader=_LikePapermill)  # noqa: S506 - a SafeLoader
    return content


def summary(loaded: Parameters, given: Inputs, targets: Targets) -> View:
    """What the run works on: environment, target, file, hosts, and what is to be said about them."""
    fleet = loaded.fleet
    facts = [
        ("environment", fleet.environment),
        ("target", f"{fleet.target}: {targets.description}"),
        ("parameters", f"{loaded.source} (SHA-256 {loaded.digest[:12]}…)"),
        ("release", f"{fleet.release.distribution} {fleet.release.channel} {fleet.release.version}"),
        ("reason", " · ".join(text for text in (given.reason, given.ticket) if text) or "none given"),
    ]
    hosts = [(cluster.name, host.name, str(host.address)) for cluster in fleet.clusters for host in cluster.hosts]
    hosts += [(f"server {one.server}", one.name, str(one.address)) for one in fleet.dedicated]
    marked = f"{len(loaded.examples)} values are still marked as examples: a plan against a real target refuses them"
    return Page.of(
        Table(("", ""), facts),
        Table(("where", "host", "address"), hosts, "Hosts"),
        findings(loaded.report),
        Note(marked) if loaded.examples else None,
    )


def not_read(runbook: str) -> BadInput:
    """The error of a cell that was run before the parameters were read."""
    return BadInput(f"running {runbook}", "the parameters were not read yet", "run the cells from the top, in order")


class _LikePapermill(yaml.SafeLoader):
    """Reads a file as papermill does (YAML 1.1, dates kept as text), to compare with what it injected."""


_LikePapermill.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _difference(given: Any, written: Any, path: str) -> str:
    """The first place where two values differ, in words; empty if they are equal."""
    if isinstance(given, dict) and isinstance(written, dict):
        for key in [*written, *(key for key in given if key not in written)]:
            if key not in given or key not in written:
                return f"{path}.{key} is only in {'the file' if key in written else 'what was given'}"
            found = _difference(given[key], written[key], f"{path}.{key}")
            if found:
                return found
        return ""
    return "" if given == written else f"{path}: the file says {written!r}, given was {given!r}"
