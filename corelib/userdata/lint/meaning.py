"""What the document would do: keys that let nobody in, units that nothing starts, an etcd that fails. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import chain
from posixpath import normpath

from .releases import CHANNELS, Release
from .trap import Trap
from .tree import Mapping, Node, Scalar, Sequence

_READ_BY_NETWORKD = (".network", ".netdev", ".link")
_SUFFIXES = (*_READ_BY_NETWORKD, ".service", ".socket", ".timer", ".mount", ".automount", ".target", ".path", ".slice",
             ".swap", ".device", ".scope")  # fmt: skip
_ETCD_UNITS = ("etcd.service", "etcd2.service", "etcd-member.service")
_DASH = r"\x2d"  # a hyphen of a path in a unit's name (systemd.unit(5))
_LOOPBACK = re.compile(r"^https?://(127\.|localhost|\[::1\])")


def check(root: Mapping, release: Release) -> Iterator[Trap]:
    """Every trap of what the document means, for one release."""
    coreos = root.get("coreos")
    inner = coreos if isinstance(coreos, Mapping) else Mapping((), root.line)
    yield from chain(_keys(root), _host_name(root), _files(root), _update(inner))
    yield from _units(inner, release)
    yield from _etcd(root, inner)


def _keys(root: Mapping) -> Iterator[Trap]:
    for node in _texts(root.get("ssh_authorized_keys")):
        problem = key_problem(node.text)
        if problem:
            message = f"this SSH key lets nobody in: {problem}"
            yield Trap("key", "error", node.line, message, "put the whole public key there; a # begins a comment")


def key_problem(text: str) -> str:
    """What is wrong with a line of authorized_keys (sshd(8)), options allowed; empty if nothing is."""
    words = text.split()
    place = next((n for n, word in enumerate(words) if re.match(r"^(ssh|ecdsa|sk)-", word)), None)
    if place is None:
        return "it names no kind of key"
    if place + 1 >= len(words):
        return "the key itself is missing (a placeholder?)"
    try:
        blob = base64.b64decode(words[place + 1], validate=True)
    except (binascii.Error, ValueError):
        return "its second word is not base64 (a placeholder?)"
    size = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + size] != words[place].encode() or len(blob) < 4 + size + 32:
        return f"it is cut off, or not of the kind {words[place]}"
    return ""


def _host_name(root: Mapping) -> Iterator[Trap]:
    node = root.get("hostname")
    if not isinstance(node, Scalar) or not node.text:
        return
    if "." in node.text:
        yield Trap("host-name", "warning", node.line, f"the host name {node.text!r} has a dot",
                   "%H in units is the whole of it; name the host without its domain")  # fmt: skip
    if len(node.text) > 63 or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", node.text):
        yield Trap("host-name", "error", node.line, f"{node.text[:70]!r} is no host name (RFC 1123)",
                   "at most 63 letters, digits and inner hyphens")  # fmt: skip


def _files(root: Mapping) -> Iterator[Trap]:
    seen: dict[str, int] = {}
    for file in root.maps("write_files"):
        path = file.text("path")
        line = _line(file, "path")
        if not path.startswith("/"):
            yield Trap("path", "error", line, f"the path {path!r} is not absolute", "begin it with /")
        if f"{normpath(path)}/".startswith("/usr/"):
            yield Trap("path", "error", line, f"{path} is under /usr, which is read-only: nothing at all is applied",
                       "write below /etc, /opt or /var")  # fmt: skip
        if path in seen:
            yield Trap("path", "warning", line, f"{path} is written again; first in line {seen[path]}", "remove one")
        seen[path] = line
    for key, _ in root.pairs:
        if key.text.replace("-", "_") == "write_files" and seen:
            message = "every boot replaces these files from the user-data"
            path = "/var/lib/flatcar-install/user_data (coreos-install before), with an underscore"
            remedy = f"what a host writes itself belongs elsewhere; installed from disk, it is kept in {path}"
            yield Trap("every-boot", "info", key.line, message, remedy)


def _update(coreos: Mapping) -> Iterator[Trap]:
    update = coreos.get("update")
    if not isinstance(update, Mapping):
        return
    group = update.text("group")
    if group and group not in CHANNELS:
        message = f"the update group {group!r} is no channel ({', '.join(sorted(CHANNELS))}), and nobody checks it"
        yield Trap("group", "warning", _line(update, "group"), message, "an unknown group gets no updates")


def _units(coreos: Mapping, release: Release) -> Iterator[Trap]:
    pulled = set(_pulled_in(coreos))
    for unit in coreos.maps("units"):
        name, line = unit.text("name"), _line(unit, "name")
        if not name or "/" in name or not name.endswith(_SUFFIXES):
            message = f"{name!r} is no unit's name, and nobody checks it"
            yield Trap("unit-name", "error", line, message, "such as etcd-member.service, without a slash")
            continue
        if name in _ETCD_UNITS and name not in release.shipped and not unit.text("content"):
            remedy = "its etcd is etcd-member.service, with ETCD_DATA_DIR=/var/lib/etcd"
            yield Trap("not-shipped", "error", line, f"there is no {name} on {release.name}", remedy, (release.name,))
        if name not in pulled:
            yield from _never_started(unit, name, line)
        yield from _drop_ins(unit)


def _pulled_in(coreos: Mapping) -> Iterator[str]:
    """The units that other ones here want or require, and so start."""
    for unit in coreos.maps("units"):
        for _, text in chain(_content(unit), *(_content(drop_in) for drop_in in unit.maps("drop_ins"))):
            key, _, value = text.strip().partition("=")
            if key in ("Wants", "Requires", "BindsTo", "Requisite", "Unit"):
                yield from value.split()
            elif key == "RequiresMountsFor":
                yield from (f"{path.strip('/').replace('-', _DASH).replace('/', '-')}.mount" for path in value.split())


def _never_started(unit: Mapping, name: str, line: int) -> Iterator[Trap]:
    if unit.text("enable") == "true" or unit.text("command") or unit.text("mask") == "true":
        return
    if name.endswith(_READ_BY_NETWORKD):
        return
    yield Trap("never-started", "warning", line, f"nothing starts {name}: it is neither enabled nor commanded to",
               "add enable: true and command: start")  # fmt: skip


def _drop_ins(unit: Mapping) -> Iterator[Trap]:
    for drop_in in unit.maps("drop_ins"):
        if not drop_in.text("name").endswith(".conf"):
            yield Trap("drop-in", "error", _line(drop_in, "name"), "a drop-in's name must end in .conf: it is ignored",
                       "rename it")  # fmt: skip
        for line, text in _content(drop_in):
            if re.match(r"\s*EnvironmentFile=-", text):
                yield Trap("optional-file", "warning", line, "a missing environment file is skipped without a word",
                           "without the - a host of another name than its file fails at once, and says so")  # fmt: skip


def _etcd(root: Mapping, coreos: Mapping) -> Iterator[Trap]:
    settings = list(_settings(root, coreos))
    yield from _plaintext(settings)
    yield from _voters(settings)
    yield from _timing(settings)
    units = [unit for unit in coreos.maps("units") if unit.text("name") in _ETCD_UNITS]
    listens = [(name, value) for name, value, _ in settings if name.startswith("ETCD_LISTEN")]
    for unit in units:
        texts = [text for part in (unit, *unit.maps("drop_ins")) for _, text in _content(part)]
        ordered = any(re.match(r"\s*(After|Requires|BindsTo)=", text) for text in texts)
        if not ordered and any(_elsewhere(value) for _, value in listens):
            message = f"{unit.text('name')} listens on addresses that something has to bring up, and waits for nothing"
            remedy = "order it: After= and Wants= the unit that brings the network up"
            yield Trap("unordered", "warning", _line(unit, "name"), message, remedy)


def _plaintext(settings: list[tuple[str, str, int]]) -> Iterator[Trap]:
    for name, value, line in settings:
        if not name.startswith("ETCD_LISTEN"):
            continue
        if any(_elsewhere(url) and url.strip().startswith("http:") for url in value.split(",")):
            message = f"{name} is plain http: whoever reaches the address owns the cluster"
            remedy = "use https with certificates, or a network that nobody else is on"
            yield Trap("plaintext", "warning", line, message, remedy)
        if re.search(r":(4001|7001)\b", value):
            message = "ports 4001 and 7001 are those of etcd before 2.0"
            yield Trap("legacy-port", "info", line, message, "drop them once no client uses them")


def _voters(settings: list[tuple[str, str, int]]) -> Iterator[Trap]:
    for name, value, line in settings:
        count = len([one for one in value.split(",") if one])
        if name == "ETCD_INITIAL_CLUSTER" and count > 1 and count % 2 == 0:
            lost = (count - 1) // 2
            failures = "no failure" if not lost else "one failure" if lost == 1 else f"{lost} failures"
            message = f"{count} voters survive {failures}, as {count - 1} do, and a split in halves stops both"
            yield Trap("even-voters", "warning", line, message, "3 or 5 voters")


def _timing(settings: list[tuple[str, str, int]]) -> Iterator[Trap]:
    values = {name: (value, line) for name, value, line in settings}
    heartbeat, election = values.get("ETCD_HEARTBEAT_INTERVAL"), values.get("ETCD_ELECTION_TIMEOUT")
    if not heartbeat or not election or not heartbeat[0].isdecimal() or not election[0].isdecimal():
        return
    if int(election[0]) < 5 * int(heartbeat[0]):
        message = f"the election timeout of {election[0]} ms is under five heartbeats of {heartbeat[0]} ms"
        yield Trap("timing", "error", election[1], message, "etcd does not start; at least five, better ten")


def _settings(root: Mapping, coreos: Mapping) -> Iterator[tuple[str, str, int]]:
    """etcd's settings wherever they stand: the section etcd2, environment files, drop-ins."""
    section = coreos.get("etcd2")
    if isinstance(section, Mapping):
        for key, value in section.pairs:
            if isinstance(value, Scalar):
                yield f"ETCD_{key.text.upper().replace('-', '_')}", value.text, value.line
    texts = [_content(file) for file in root.maps("write_files")]
    for unit in coreos.maps("units"):
        texts += [_content(part) for part in (unit, *unit.maps("drop_ins"))]
    for line, text in chain.from_iterable(texts):
        match = re.match(r'\s*(?:Environment=)?"?(ETCD_[A-Z_]+)="?([^"]*)"?\s*$', text)
        if match:
            yield match[1], match[2], line


def _elsewhere(value: str) -> bool:
    return any(url.strip() and not _LOOPBACK.match(url.strip()) for url in value.split(","))


def _content(node: Mapping) -> Iterator[tuple[int, str]]:
    """The lines of a content, each with its line in the document."""
    content = node.get("content")
    if isinstance(content, Scalar):
        for offset, text in enumerate(content.text.splitlines()):
            yield content.line_of(offset), text


def _texts(node: Node | None) -> Iterator[Scalar]:
    if isinstance(node, Sequence):
        yield from (item for item in node.items if isinstance(item, Scalar))


def _line(node: Mapping, name: str) -> int:
    value = node.get(name)
    return value.line if value is not None else node.line
