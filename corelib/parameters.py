"""Parameters: the text of `parameters/<environment>.yaml` → a Fleet, or every problem at once with file and line.

The text is read with positions and its scalars mean what they look like (YAML 1.2's core rules): `off` is a word,
`0644` is a word, `1.10` is a word; only `true`, `false`, `null` and plain decimal numbers are converted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import AddressValueError, NetmaskValueError
from typing import Any

from pydantic import ValidationError

from . import tree
from .contradictions import contradictions, repeated
from .errors import BadInput
from .fleet import Counted, Fleet, PlainSecret, Value
from .report import Finding, Report

Location = tuple[str | int, ...]

_DEEPEST = 50  # aliases nest further than the text does
_MOST_SHOWN = 50  # one wrong count of hosts can say the same of thousands
_EXAMPLE = re.compile(r"[^#]*#\s*example\b")
_SECRET = re.compile(r"(.*[_-])?(password|passwd|secret|token|key)", re.IGNORECASE)  # what an unknown key may hold
_NO_SECRET = re.compile(r"(env|file):\S|ssh-|ecdsa-|sk-")  # references, and public keys
_WORDS = {  # pydantic's kinds of error, in the words of a YAML file
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "int_type": "must be a whole number",
    "model_type": "must be a mapping",
    "string_type": "must be text (in quotes, if it looks like a number)",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}


class ParametersError(BadInput):
    """The parameters file is wrong; `report` holds every finding, with file and line.

    `secrets` are the values that stand where only a reference may: no message shows them.
    """

    def __init__(self, source: str, report: Report, secrets: tuple[str, ...] = ()) -> None:
        errors = report.errors
        count = f"{len(errors)} problem{'s' if len(errors) > 1 else ''}"
        rest = [f"  … and {len(errors) - _MOST_SHOWN} more"] if len(errors) > _MOST_SHOWN else []
        shown = [f"  {finding}" for finding in errors[:_MOST_SHOWN]]
        found = "\n".join([f"{count}; nothing was done.", *shown, *rest])
        super().__init__(f"reading {source}", found)
        self.report = report
        self.secrets = secrets


@dataclass(frozen=True, slots=True)
class Example:
    """A value that is still marked `# example`: its path and `file:line`."""

    path: str
    where: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a parameters file says: the fleet, the SHA-256 of the text, warnings, values still marked as examples."""

    fleet: Fleet
    source: str
    digest: str
    report: Report
    examples: tuple[Example, ...]


def load(text: str, source: str) -> Parameters:
    """Read parameters from `text`; `source` names the file in findings. Raises ParametersError."""
    document = _Document(text, source)
    data = document.data()
    document.refuse()
    fleet = _validate(data, document)
    document.refuse()
    document.findings += contradictions(fleet, document.where)
    document.refuse()
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Parameters(fleet, source, digest, Report.of(document.findings), tuple(document.examples()))


def schema() -> dict[str, Any]:
    """The JSON Schema of a parameters file (2020-12), for completion in editors; `load` finds more."""
    fleet = Fleet.model_json_schema()
    definitions = fleet.pop("$defs")
    properties = fleet["properties"]
    environment = properties.pop("environment")
    hosts = definitions["Cluster"]["properties"]["hosts"]
    hosts["items"] = {"anyOf": [hosts["items"], {"$ref": "#/$defs/Counted"}]}
    definitions["Counted"] = Counted.model_json_schema()
    fleet["required"] = [name for name in fleet["required"] if name != "environment"]
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "What shall exist in one environment: parameters/<environment>.yaml",
        "type": "object",
        "additionalProperties": False,
        "required": ["environment", "fleet"],
        "properties": {"environment": environment, "fleet": fleet},
        "$defs": definitions,
    }
    untitled: dict[str, Any] = _untitled(whole)
    return untitled


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes of names, which say nothing new."""
    if isinstance(schema, dict):
        return {k: _untitled(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}
    return [_untitled(item) for item in schema] if isinstance(schema, list) else schema


def _validate(data: Any, document: _Document) -> Fleet:
    """Check the two top-level keys, then let the model check the rest; all findings go to the document."""
    if not isinstance(data, dict):
        raise ParametersError(document.source, Report((document.error((), "expected the keys environment and fleet"),)))
    for key in data.keys() - {"environment", "fleet"}:
        document.secrets += _secrets_of(key, data[key])
        document.findings.append(document.error((key,), _unknown(key, ["environment", "fleet"])))
    for key in ("environment", "fleet"):
        if key not in data:
            document.findings.append(document.error((), f"the key {key!r} is missing"))
    body = data.get("fleet")
    if not isinstance(body, dict):
        document.findings.append(document.error(("fleet",), f"expected a mapping, found {_show(body)}"))
        document.refuse()
    elif "environment" in body:
        document.findings.append(document.error(("fleet", "environment"), "the environment is named at the top level"))
    _expand(body, document)
    try:
        return Fleet.model_validate_json(json.dumps({**data.get("fleet", {}), "environment": data.get("environment")}))
    except ValidationError as problem:
        # The environment stands beside the fleet in the file and inside it in the model.
        document.findings += [_finding(e, document) for e in problem.errors(include_url=False) if not _echo(e)]
        document.findings += repeated(data["fleet"], document.where)
        document.refuse()
        raise


def _expand(body: Any, document: _Document) -> None:
    """Put the hosts that are counted into the lists of hosts, each with the line of its count."""
    clusters = body.get("clusters")
    for number, cluster in enumerate(clusters if isinstance(clusters, list) else ()):
        hosts = cluster.get("hosts") if isinstance(cluster, dict) else None
        if isinstance(hosts, list) and any(isinstance(entry, dict) and "count" in entry for entry in hosts):
            place: Location = ("clusters", number, "hosts")
            expanded = [_hosts_of(entry, (*place, n), document) for n, entry in enumerate(hosts)]
            document.spread(("fleet", *place), [len(some) for some in expanded])
            cluster["hosts"] = [host for some in expanded for host in some]


def _hosts_of(entry: Any, place: Location, document: _Document) -> Sequence[Any]:
    """The hosts that an entry of a list stands for; none, with findings, if it counts wrongly."""
    if not isinstance(entry, dict) or "count" not in entry:
        return (entry,)
    try:
        return Counted.model_validate_json(json.dumps(entry)).hosts
    except ValidationError as problem:
        for error in problem.errors(include_url=False):
            document.findings.append(_finding({**error, "loc": (*place, *error["loc"])}, document, Counted))
    except ValueError as problem:
        document.findings.append(document.error(("fleet", *place, "name"), f"{_path(place)}: {problem}"))
    return ()


def _finding(error: Any, document: _Document, model: type[Value] = Fleet) -> Finding:
    """Put one of pydantic's errors into the file's own words and place."""
    inner: Location = tuple(part for part in error["loc"] if part != "[key]")  # pydantic's word for a mapping's key
    location = inner if inner[:1] == ("environment",) else ("fleet", *inner)
    last, kind = location[-1] if location else "", error["type"]
    if kind == "extra_forbidden":
        document.secrets += _secrets_of(str(last), error["input"])
        allowed = _allowed(inner[:-1]) if model is Fleet else list(model.model_fields)
        return document.error(location, _unknown(str(last), allowed))
    if kind == "missing":
        return document.error(location[:-1], f"the key {last!r} is missing{_in(location[:-1])}")
    path = _path(location)
    if kind == "value_error" and isinstance(error["ctx"]["error"], PlainSecret):
        value = str(error["input"])
        document.secrets.append(value)
        return document.error(location, f"{path}: {error['ctx']['error']}; found {len(value)} characters of something")
    if kind == "value_error" and isinstance(error["ctx"]["error"], AddressValueError | NetmaskValueError):
        return document.error(location, f"{path}: must be an IPv4 address or network; found {_show(error['input'])}")
    if kind == "value_error":
        return document.error(location, f"{path}: {error['ctx']['error']}; found {_show(error['input'])}")
    message = _WORDS.get(kind) or error["msg"].removeprefix("Input ").replace("should", "must")
    return document.error(location, f"{path}: {message}; found {_show(error['input'])}")


def _secrets_of(key: str, value: Any) -> list[str]:
    """The texts under an unknown key that is named like a secret; a typo in one does not make it less of one."""
    if isinstance(value, dict):
        within = key if _SECRET.fullmatch(key) else ""
        return [text for name, item in value.items() for text in _secrets_of(within or name, item)]
    if isinstance(value, list):
        return [text for item in value for text in _secrets_of(key, item)]
    named = _SECRET.fullmatch(key) is not None and value is not None and not isinstance(value, bool)
    return [str(value)] if named and not _NO_SECRET.match(str(value)) else []


def _echo(error: Any) -> bool:
    """True for a list that is "too short" only because pydantic left out its wrong items, reported by themselves."""
    return error["type"] == "too_short" and bool(error["input"])


def _allowed(location: Location) -> list[str]:
    """The keys that the model allows at a place, by walking its JSON Schema."""
    schema = Fleet.model_json_schema()
    here: dict[str, Any] = schema
    for part in location:
        here = here.get("items", {}) if isinstance(part, int) else here.get("properties", {}).get(part, {})
        for option in here.get("anyOf", [here]):
            if "$ref" in option:
                here = schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
    return [key for key in here.get("properties", {}) if location or key != "environment"]


def _unknown(key: str, allowed: Sequence[str]) -> str:
    close = get_close_matches(key, allowed, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown key {key!r}; {hint}allowed: {', '.join(allowed)}"


def _show(value: Any) -> str:
    text = {None: "nothing", True: "true", False: "false"}.get(value) if isinstance(value, bool | None) else repr(value)
    return text if text is not None and len(text) <= 60 else f"{str(text)[:57]}…"


def _path(location: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _in(location: Location) -> str:
    return f" in {_path(location)}" if location else ""


class _Document:
    """A YAML text with the line of every value, and the findings about it."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.lines = text.splitlines()
        self.findings: list[Finding] = []
        self.secrets: list[str] = []
        self._places: dict[Location, int] = {(): 1}
        self._scalars: list[tuple[Location, Any]] = []
        self._root = self._read(text)

    def _read(self, text: str) -> tree.Node | None:
        try:
            return tree.read(text.removeprefix("\ufeff"))
        except tree.Unreadable as problem:
            finding = Finding("error", f"{self.source}:{problem.line}", f"this is not YAML: {problem}")
            raise ParametersError(self.source, Report((finding,))) from None

    def data(self) -> Any:
        """The document as plain data, scalars kept as text where YAML 1.1 would surprise."""
        return None if self._root is None else self._convert(self._root, ())

    def where(self, location: Location) -> str:
        """`file:line` of a place, or of the nearest place around it that exists."""
        while location not in self._places:
            location = location[:-1]
        return f"{self.source}:{self._places[location]}"

    def error(self, location: Location, message: str) -> Finding:
        """An error at a place."""
        return Finding("error", self.where(location), message)

    def spread(self, place: Location, lengths: Sequence[int]) -> None:
        """The items of a list became as many as `lengths` says of each: every one stands where the old one stood."""
        depth = len(place)
        below = {at: line for at, line in self._places.items() if len(at) > depth and at[:depth] == place}
        items: dict[Any, dict[Location, int]] = {}
        for at, line in below.items():
            del self._places[at]
            items.setdefault(at[depth], {})[at[depth + 1 :]] = line
        number = 0
        for old, length in enumerate(lengths):
            for _ in range(length):
                self._places |= {(*place, number, *rest): line for rest, line in items.get(old, {}).items()}
                number += 1

    def refuse(self) -> None:
        """Raise ParametersError if there is an error by now."""
        report = Report.of(sorted(self.findings, key=_by_line))
        if not report.ok:
            raise ParametersError(self.source, report, tuple(self.secrets))

    def examples(self) -> Iterator[Example]:
        """The values whose line is marked `# example`."""
        for location, end in self._scalars:
            if _EXAMPLE.match(self.lines[end.line][end.column :]):
                yield Example(_path(location), self.where(location))

    def _convert(self, node: tree.Node, location: Location) -> Any:
        if len(location) > _DEEPEST:
            finding = self.error(location, "it is nested too deeply through aliases")
            raise ParametersError(self.source, Report((finding,)))
        self._places.setdefault(location, tree.begins(node))
        if isinstance(node, tree.Mapping):
            return self._mapping(node, location)
        if isinstance(node, tree.Sequence):
            return [self._convert(child, (*location, n)) for n, child in enumerate(node.value)]
        assert isinstance(node, tree.Scalar)  # noqa: S101 - YAML has three kinds of node
        self._scalars.append((location, node.end_mark))
        return _scalar(node)

    def _mapping(self, node: tree.Mapping, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, tree.Scalar):
                where = f"{self.source}:{tree.begins(key_node)}"
                self.findings.append(Finding("error", where, "a key must be a word"))
                continue
            key = str(key_node.value)
            here = (*location, key)
            if key in result:
                first = self._places[here]
                where = f"{self.source}:{tree.begins(key_node)}"
                self.findings.append(
                    Finding("error", where, f"the key {key!r} stands here again; first in line {first}")
                )
                continue
            self._places[here] = tree.begins(key_node)
            result[key] = self._convert(value_node, here)
        return result


def _scalar(node: tree.Scalar) -> Any:
    """A scalar by YAML 1.2's core rules; quoted ones are always text."""
    text: str = node.value
    if node.style:
        return text
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", text):  # a longer one is no number of anything here
        return int(text)
    return {"true": True, "false": False, "null": None, "~": None, "": None}.get(text, text)


def _by_line(finding: Finding) -> int:
    return int(finding.where.rsplit(":", 1)[1])
