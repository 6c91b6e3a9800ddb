"""What the document would do: keys that let nobody in, units that nothing starts, an etcd that fails. Pure."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from posixpath import normpath
from typing import NamedTuple

from ...tree import Mapping, Node, Scalar, Sequence, begins, canonical, get, line_of, maps, text_of
from .content import said
from .releases import CHANNELS, Release
from .trap import Trap

_READ_BY_NETWORKD = (".network", ".netdev", ".link")
_SUFFIXES = (*_READ_BY_NETWORKD, ".service", ".socket", ".timer", ".mount", ".automount", ".target", ".path", ".slice",
             ".swap", ".device", ".scope")  # fmt: skip
_ETCD_UNITS = ("etcd.service", "etcd2.service", "etcd-member.service")
_Setting = tuple[str, str, int]  # name, value, line
_TRUE = {"true", "yes", "on"}
_LONGEST_ELECTION = 50_000  # ms
_USER_DATA = "/var/lib/flatcar-install/user_data (coreos-install before), with an underscore"
_LOOPBACK = re.compile(r"^https?://(127\.|localhost|\[::1\])")


def check(root: Mapping, release: Release) -> Iterator[Trap]:
    """Every trap of what the document means, for one release."""
    coreos = get(root, "coreos")
    inner = coreos if isinstance(coreos, Mapping) else Mapping("", [], root.start_mark, root.end_mark)
    files, units = tuple(maps(root, "write_files")), tuple(map(_Unit.of, maps(inner, "units")))
    yield from chain(_every_boot(root), _keys(root), _host_name(root), _files(files), _update(inner))
    yield from _units(units, release)
    contents = [_content(file) for file in files]
    contents += chain.from_iterable(unit.contents for unit in units)
    yield from _etcd(list(_settings(inner, contents)), units)


class _Unit(NamedTuple):
    """A unit with its drop-ins, and the contents of them all."""

    node: Mapping
    name: str
    line: int
    drop_ins: tuple[Mapping, ...]
    contents: tuple[Scalar | None, ...]

    @classmethod
    def of(cls, node: Mapping) -> _Unit:
        """Read it from its item in the list."""
        drop_ins = tuple(maps(node, "drop_ins"))
        return cls(node, text_of(node, "name"), _line(node, "name"), drop_ins, tuple(map(_content, (node, *drop_ins))))


def _content(node: Mapping) -> Scalar | None:
    content = get(node, "content")
    return content if isinstance(content, Scalar) else None


def _keys(root: Mapping) -> Iterator[Trap]:
    people = (root, *maps(root, "users"))
    for node in chain.from_iterable(_texts(get(one, "ssh_authorized_keys")) for one in people):
        problem = key_problem(node.value)
        if problem:
            message = f"this SSH key lets nobody in: {problem}"
            yield Trap("key", "error", begins(node), message, "put the whole public key there; a # begins a comment")


@lru_cache(maxsize=256)  # all hosts have the same keys
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
    node = get(root, "hostname")
    if not isinstance(node, Scalar) or not node.value:
        return
    if "." in node.value:
        yield Trap("host-name", "warning", begins(node), f"the host name {node.value!r} has a dot",
                   "%H in units is the whole of it; name the host without its domain")  # fmt: skip
    if len(node.value) > 63 or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", node.value):
        yield Trap("host-name", "error", begins(node), f"{node.value[:70]!r} is no host name (RFC 1123)",
                   "at most 63 letters, digits and inner hyphens")  # fmt: skip


def _files(files: Iterable[Mapping]) -> Iterator[Trap]:
    seen: dict[str, int] = {}
    for file in files:
        path = text_of(file, "path")
        line = _line(file, "path")
        if not path.startswith("/"):
            yield Trap("path", "error", line, f"the path {path!r} is not absolute", "begin it with /")
        if f"{normpath('/' + path.lstrip('/'))}/".startswith("/usr/"):
            yield Trap("path", "error", line, f"{path} is under /usr, which is read-only: nothing at all is applied",
                       "write below /etc, /opt or /var")  # fmt: skip
        if problem := _undecodable(file):
            yield Trap("content", "error", _line(file, "content"), f"{path}: {problem}: nothing at all is applied",
                       "encode it again, or write it as it is")  # fmt: skip
        if path in seen:
            yield Trap("path", "warning", line, f"{path} is written again; first in line {seen[path]}", "remove one")
        seen[path] = line


def _undecodable(file: Mapping) -> str:
    """What is wrong with a content that has an encoding; empty if nothing is."""
    encoding = text_of(file, "encoding")
    if not encoding:
        return ""
    content = text_of(file, "content")
    try:
        plain = base64.b64decode("".join(content.split()), validate=True) if "64" in encoding else content.encode()
        if encoding.startswith("gz"):
            unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)  # gzip's own header
            unpacking.decompress(plain, 1 << 20)
            if not unpacking.eof and not unpacking.unconsumed_tail:
                return "its content is cut off"
    except (binascii.Error, ValueError):
        return "its content is not base64"
    except zlib.error:
        return "its content is not what gzip writes"
    return ""


def _every_boot(root: Mapping) -> Iterator[Trap]:
    """What its readers of 2015 took for the first boot's only, and where a host that was installed from disk has it."""
    keys = {canonical(key.value): begins(key) for key, _ in root.value if isinstance(key, Scalar)}
    if "write_files" in keys:
        message = "every boot replaces these files from the user-data"
        remedy = f"what a host writes itself belongs elsewhere; installed from disk, it is kept in {_USER_DATA}"
        yield Trap("every-boot", "info", keys["write_files"], message, remedy)
    elif "hostname" in keys:
        message = "every boot applies this again, over what was changed on the host"
        remedy = f"change it there: installed from disk, it is kept in {_USER_DATA}"
        yield Trap("every-boot", "info", keys["hostname"], message, remedy)


def _update(coreos: Mapping) -> Iterator[Trap]:
    update = get(coreos, "update")
    if not isinstance(update, Mapping):
        return
    group = text_of(update, "group")
    if group and group not in CHANNELS:
        message = f"the update group {group!r} is no channel ({', '.join(sorted(CHANNELS))}), and nobody checks it"
        yield Trap("group", "warning", _line(update, "group"), message, "an unknown group gets no updates")


def _units(units: Iterable[_Unit], release: Release) -> Iterator[Trap]:
    # What other units here want or require is started by them.
    pulled = {name for unit in units for content in unit.contents if content for name in said(content.value).pulls}
    pulled |= {
        re.sub("@.+(?=[.])", "@", name) for name in (*pulled, *(unit.name for unit in units)) if "@" in name[:-1]
    }
    for unit in units:
        name, line = unit.name, unit.line
        if not name or "/" in name or not name.endswith(_SUFFIXES):
            message = f"{name!r} is no unit's name, and nobody checks it"
            yield Trap("unit-name", "error", line, message, "such as etcd-member.service, without a slash")
            continue
        if name in _ETCD_UNITS and name not in release.shipped and not text_of(unit.node, "content"):
            remedy = "its etcd is etcd-member.service, with ETCD_DATA_DIR=/var/lib/etcd"
            yield Trap("not-shipped", "error", line, f"there is no {name} on {release.name}", remedy, (release.name,))
        if name not in pulled:
            yield from _never_started(unit)
        if unit.drop_ins:
            yield from _drop_ins(unit)


def _never_started(unit: _Unit) -> Iterator[Trap]:
    node = unit.node
    if text_of(node, "command") or any(text_of(node, key).lower() in _TRUE for key in ("enable", "mask")):
        return
    if unit.name.endswith(_READ_BY_NETWORKD):
        return
    message = f"nothing starts {unit.name}: it is neither enabled nor commanded to"
    yield Trap("never-started", "warning", unit.line, message, "add enable: true and command: start")


def _drop_ins(unit: _Unit) -> Iterator[Trap]:
    for drop_in, content in zip(unit.drop_ins, unit.contents[1:], strict=True):
        if not text_of(drop_in, "name").endswith(".conf"):
            yield Trap("drop-in", "error", _line(drop_in, "name"), "a drop-in's name must end in .conf: it is ignored",
                       "rename it")  # fmt: skip
        if content is None:
            continue
        for offset in said(content.value).optional:
            message = "a missing environment file is skipped without a word"
            remedy = "without the - a host of another name than its file fails at once, and says so"
            yield Trap("optional-file", "warning", line_of(content, offset), message, remedy)


def _etcd(settings: list[_Setting], units: Iterable[_Unit]) -> Iterator[Trap]:
    yield from chain(_plaintext(settings), _voters(settings), _timing(settings))
    away = any(name.startswith("ETCD_LISTEN") and _elsewhere(value) for name, value, _ in settings)
    for unit in units if away else ():
        if unit.name in _ETCD_UNITS and not any(content and said(content.value).ordered for content in unit.contents):
            message = f"{unit.name} listens on addresses that something has to bring up, and waits for nothing"
            remedy = "order it: After= and Wants= the unit that brings the network up"
            yield Trap("unordered", "warning", unit.line, message, remedy)


def _plaintext(settings: list[_Setting]) -> Iterator[Trap]:
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


def _voters(settings: list[_Setting]) -> Iterator[Trap]:
    for name, value, line in settings:
        count = len([one for one in value.split(",") if one])
        if name == "ETCD_INITIAL_CLUSTER" and count > 1 and count % 2 == 0:
            lost = (count - 1) // 2
            failures = "no failure" if not lost else "one failure" if lost == 1 else f"{lost} failures"
            message = f"{count} voters survive {failures}, as {count - 1} do, and a split in halves stops both"
            yield Trap("even-voters", "warning", line, message, "3 or 5 voters")


def _timing(settings: list[_Setting]) -> Iterator[Trap]:
    """What etcd says at its start (its embed.Config.Validate); one that is not given has etcd's own default."""
    given = {name: (int(value), line) for name, value, line in settings if re.fullmatch("[0-9]{1,9}", value)}
    heartbeat, beats = given.get("ETCD_HEARTBEAT_INTERVAL", (100, 0))
    election, elects = given.get("ETCD_ELECTION_TIMEOUT", (1000, 0))
    line = elects or beats
    if line and election < 5 * heartbeat:
        message = f"the election timeout of {election} ms is under five heartbeats of {heartbeat} ms"
        yield Trap("timing", "error", line, message, "etcd does not start; at least five, better ten")
    if election > _LONGEST_ELECTION:
        message = f"the election timeout of {election} ms is over etcd's limit of {_LONGEST_ELECTION} ms"
        yield Trap("timing", "error", line, message, "etcd does not start")


def _settings(coreos: Mapping, contents: Iterable[Scalar | None]) -> Iterator[_Setting]:
    """etcd's settings wherever they stand: the section etcd2, environment files, drop-ins."""
    section = get(coreos, "etcd2")
    if isinstance(section, Mapping):
        for key, value in section.value:
            if isinstance(key, Scalar) and isinstance(value, Scalar):
                yield f"ETCD_{canonical(key.value).upper()}", value.value, begins(value)
    for content in contents:
        if content is not None:
            yield from ((name, text, line_of(content, offset)) for name, text, offset in said(content.value).settings)


def _elsewhere(value: str) -> bool:
    return any(url.strip() and not _LOOPBACK.match(url.strip()) for url in value.split(","))


def _texts(node: Node | None) -> Iterator[Scalar]:
    if isinstance(node, Sequence):
        yield from (item for item in node.value if isinstance(item, Scalar))


def _line(node: Mapping, name: str) -> int:
    value = get(node, name)
    return begins(value if value is not None else node)
