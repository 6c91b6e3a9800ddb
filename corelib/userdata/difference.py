"""What differs between two renderings of a host, by meaning: which file, which unit, which key, and when it matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from . import cloudconfig

# etcd reads these only where its data directory is empty (etcd's configuration reference, clustering flags).
_BOOTSTRAP = {
    "ETCD_INITIAL_CLUSTER",
    "ETCD_INITIAL_CLUSTER_TOKEN",
    "ETCD_INITIAL_CLUSTER_STATE",
    "ETCD_INITIAL_ADVERTISE_PEER_URLS",
}
Matters = Literal["bootstrap", "boot"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: where, as it was and as it is (None: it is not there), and when that matters.

    `bootstrap`: only to a member that starts without data; a running one keeps what it has. `boot`: to any host, with
    the next boot that reads the new document.
    """

    where: str
    old: str | None
    new: str | None
    matters: Matters

    def __str__(self) -> str:
        change = f"{_show(self.old)} → {_show(self.new)}"
        when = "only where etcd starts without data" if self.matters == "bootstrap" else "with the next boot"
        return f"{self.where}: {change} ({when})"


def differences(before: str, after: str) -> tuple[Difference, ...]:
    """Every difference of two documents of ours; empty if they mean the same, whatever their layout.

    Raises ValueError if one of them is not a document as we render them.
    """
    try:
        return tuple(_between("", _meaning(cloudconfig.read(before)), _meaning(cloudconfig.read(after))))
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise ValueError(f"it is no rendering: {problem}") from None


def _meaning(document: Any) -> dict[str, Any]:
    """A document with its lists keyed by what names their items."""
    content = dict(document or {})
    files = {file["path"]: _file(file) for file in content.pop("write_files", ())}
    coreos = dict(content.pop("coreos", {}))
    units = {unit["name"]: _unit(unit) for unit in coreos.pop("units", ())}
    keyed: dict[str, Any] = {f"file {path}": facts for path, facts in files.items()}
    keyed |= {f"unit {name}": facts for name, facts in units.items()}
    return {**content, **coreos, **keyed}


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    facts = {key: value for key, value in file.items() if key not in ("path", "content")}
    return {**facts, **_settings(str(file.get("content", "")))}


def _unit(unit: Mapping[str, Any]) -> dict[str, Any]:
    facts = {key: value for key, value in unit.items() if key not in ("name", "content", "drop_ins")}
    drop_ins = {f"drop-in {one['name']}": _settings(one["content"]) for one in unit.get("drop_ins", ())}
    return {**facts, **_settings(str(unit.get("content", ""))), **drop_ins}


def _settings(content: str) -> dict[str, str]:
    """The assignments of a file or unit by section and name, a name that stands there again with its values joined."""
    found: dict[str, str] = {}
    section = ""
    for line in content.splitlines():
        name, equals, value = line.partition("=")
        if line.startswith("[") and line.endswith("]"):
            section = line
        elif line.strip() and not line.startswith(("#", ";")):
            key = f"{section} {name}".strip() if equals else f"{section} line {line!r}".strip()
            text = value.strip().strip('"') if equals else "there"
            if name.strip() == "PublicKey":  # of several peers, each is its own
                section = f"[{section.strip('[]').split()[0]} {text}]"
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _between(where: str, old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _between(f"{where}, {key}".lstrip(", "), old.get(key), new.get(key))
    elif isinstance(old, Mapping) or isinstance(new, Mapping):
        yield Difference(where, None if old is None else "there", None if new is None else "there", "boot")
    elif old != new:
        name = where.rsplit(", ", 1)[-1]
        matters: Matters = "bootstrap" if name in _BOOTSTRAP else "boot"
        yield Difference(where, _text(old), _text(new), matters)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def _show(value: str | None) -> str:
    return "absent" if value is None else repr(value)
