"""The lab's own reader of `#cloud-config`: what a host would do with it, as coreos-cloudinit does.

Facts from coreos-cloudinit 1.14.0 (CoreOS Container Linux, 2018) and Flatcar's fork (2026): the accepted keys, the
patterns of their values, and that Flatcar drops hyphenated keys without a word while CoreOS takes both spellings.
It shares nothing with what renders: scalars are kept as the text that was written, with how it was quoted.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
from dataclasses import dataclass
from typing import Any

import yaml

_TOP = {"ssh_authorized_keys", "coreos", "write_files", "hostname", "users", "manage_etc_hosts"}
_COREOS = {"etcd", "etcd2", "flannel", "fleet", "locksmith", "oem", "update", "units"}
_FILE = {"encoding", "content", "owner", "path", "permissions"}
_UNIT = {"name", "mask", "enable", "runtime", "content", "command", "drop_ins"}
_UPDATE = {"reboot_strategy", "group", "server"}
_COMMANDS = {"start", "stop", "restart", "reload", "try-restart", "reload-or-restart", "reload-or-try-restart"}
_STRATEGIES = {"etcd-lock", "reboot", "off"}
_BASE64, _GZIP = {"base64", "b64"}, {"gz", "gzip"}
_BOTH = {"gz+base64", "gzip+base64", "gz+b64", "gzip+b64"}
_NUMBERS = {"heartbeat_interval", "election_timeout", "max_snapshots", "max_wals", "snapshot_count"}


class CloudConfigError(ValueError):
    """The document is refused: nothing of it is applied."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to write: absolute path, mode, bytes."""

    path: str
    mode: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Unit:
    """What the document says about one systemd unit."""

    name: str
    enable: bool
    mask: bool
    command: str
    content: str
    drop_ins: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """A document as it will be applied; `notes` holds what was ignored, as the consumer would log it (or not)."""

    host_name: str
    keys: tuple[str, ...]
    files: tuple[File, ...]
    update: dict[str, str]
    etcd2: dict[str, str]
    units: tuple[Unit, ...]
    notes: tuple[str, ...]


class _Text(str):
    """A scalar as written; `plain` if it stood without quotes."""

    __slots__ = ("plain",)
    plain: bool


def read(content: bytes, distribution: str, variables: dict[str, str]) -> CloudConfig:
    """Read a document for one distribution; `variables` are `$private_ipv4` and its like. Raises CloudConfigError."""
    try:
        text = content.decode()
    except UnicodeDecodeError as problem:
        raise CloudConfigError(f"not UTF-8: {problem}") from None
    if text.split("\n", 1)[0].rstrip() != "#cloud-config":
        raise CloudConfigError("the first line is not '#cloud-config'")
    try:
        document = yaml.load(_substitute(text, variables), Loader=_Loader)  # noqa: S506 - it constructs only text
    except yaml.YAMLError as problem:
        raise CloudConfigError(f"not YAML: {' '.join(str(problem).split())}") from None
    reader = _Reader(distribution)
    return reader.document(document)


def _substitute(text: str, variables: dict[str, str]) -> str:
    """Replace `$private_ipv4` and the like before parsing; `\\$private_ipv4` stays, an unknown value becomes empty."""

    def value(match: re.Match[str]) -> str:
        return match[0][1:] if match[0].startswith("\\") else variables.get(match[1], "")

    return re.sub(r"\\?\$((?:public|private)_ipv[46])", value, text)


class _Loader(yaml.SafeLoader):
    """Keeps every scalar as text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name, an instance variable to its stub


def _scalar(_: yaml.SafeLoader, node: yaml.ScalarNode) -> _Text:
    text = _Text(node.value)
    text.plain = node.style is None
    return text


_Loader.add_constructor("tag:yaml.org,2002:str", _scalar)


class _Reader:
    """Walks a document and collects notes about what it passes over."""

    def __init__(self, distribution: str) -> None:
        self.flatcar = distribution == "flatcar"
        self.notes: list[str] = []

    def document(self, document: Any) -> CloudConfig:
        top = self._keys(document, _TOP, "")
        coreos = self._keys(top.get("coreos"), _COREOS, "coreos.")
        return CloudConfig(
            host_name=str(top.get("hostname") or ""),
            keys=tuple(str(key) for key in self._list(top.get("ssh_authorized_keys"), "ssh_authorized_keys")),
            files=tuple(self._file(item) for item in self._list(top.get("write_files"), "write_files")),
            update=self._update(coreos.get("update")),
            etcd2=self._etcd2(coreos.get("etcd2")),
            units=tuple(self._unit(item) for item in self._list(coreos.get("units"), "coreos.units")),
            notes=tuple(self.notes),
        )

    def _keys(self, value: Any, known: set[str] | None, where: str) -> dict[str, Any]:
        """A mapping with the keys that this distribution accepts."""
        if value is None or value == "":
            return {}
        if not isinstance(value, dict):
            raise CloudConfigError(f"{where or 'the document'} is not a mapping")
        result = {}
        for key, item in value.items():
            name = str(key)
            if "-" in name and not self.flatcar:
                name = name.replace("-", "_")
            if "-" in name and name.replace("-", "_") in (known or {name.replace("-", "_")}):
                self.notes.append(f"ignored: hyphenated key {where}{key}")
            elif known is not None and name not in known:
                self.notes.append(f"ignored: unrecognized key {where}{key}")
            else:
                result[name] = item
        return result

    def _list(self, value: Any, where: str) -> list[Any]:
        if value is None or value == "":
            return []
        if not isinstance(value, list):
            raise CloudConfigError(f"{where} is not a list")
        return value

    def _file(self, value: Any) -> File:
        fields = self._keys(value, _FILE, "write_files.")
        path, mode = str(fields.get("path", "")), str(fields.get("permissions", "0644"))
        if not path.startswith("/") or ".." in path.split("/"):
            raise CloudConfigError(f"write_files: {path!r} is not an absolute path")
        if path.startswith("/usr/"):
            raise CloudConfigError(f"write_files: {path} is on a read-only file system")
        if not re.fullmatch(r"0?[0-7]{3,4}", mode):
            raise CloudConfigError(f"write_files: permissions of {path} are {mode!r}")
        return File(path, int(mode, 8), _decode(str(fields.get("content", "")), str(fields.get("encoding", ""))))

    def _update(self, value: Any) -> dict[str, str]:
        update = {key: str(item) for key, item in self._keys(value, _UPDATE, "coreos.update.").items()}
        allowed = _STRATEGIES if self.flatcar else _STRATEGIES | {"best-effort"}
        if update.get("reboot_strategy", "off") not in allowed:
            raise CloudConfigError(f"coreos.update.reboot_strategy is {update['reboot_strategy']!r}")
        return update

    def _etcd2(self, value: Any) -> dict[str, str]:
        result = {}
        for key, item in self._keys(value, None, "coreos.etcd2.").items():
            if self.flatcar and key in _NUMBERS and not (isinstance(item, _Text) and item.plain):
                raise CloudConfigError(f"coreos.etcd2.{key}: cannot unmarshal a string into a number")
            result[key] = str(item)
        return result

    def _unit(self, value: Any) -> Unit:
        fields = self._keys(value, _UNIT, "coreos.units.")
        name, command = str(fields.get("name", "")), str(fields.get("command", ""))
        if not re.fullmatch(r"[\w@:.\\-]+\.\w+", name):
            raise CloudConfigError(f"coreos.units: {name!r} is not a unit's name")
        if command and command not in _COMMANDS:
            raise CloudConfigError(f"coreos.units: command of {name} is {command!r}")
        drop_ins = [
            self._keys(one, {"name", "content"}, "drop_ins.") for one in self._list(fields.get("drop_ins"), name)
        ]
        return Unit(
            name,
            enable=_true(fields.get("enable")),
            mask=_true(fields.get("mask")),
            command=command,
            content=str(fields.get("content", "")),
            drop_ins=tuple((str(one.get("name", "")), str(one.get("content", ""))) for one in drop_ins),
        )


def _true(value: Any) -> bool:
    return str(value).lower() in ("true", "yes", "on", "y")


def _decode(content: str, encoding: str) -> bytes:
    data = content.encode()
    try:
        if encoding in _BASE64 | _BOTH:
            data = base64.b64decode(data.replace(b"\n", b"").replace(b"\r", b""), validate=True)
        if encoding in _GZIP | _BOTH:
            data = gzip.decompress(data)
    except (binascii.Error, OSError, EOFError) as problem:
        raise CloudConfigError(f"write_files: content is not {encoding}: {problem}") from None
    if encoding not in {""} | _BASE64 | _GZIP | _BOTH:
        raise CloudConfigError(f"write_files: unknown encoding {encoding!r}")
    return data
