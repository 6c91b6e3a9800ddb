"""Where a machine is on its way: what answers there under the keys that are noted."""

from __future__ import annotations

from ..errors import RunbookError
from ..fleet import Dedicated
from ..ssh import Address, HostKeyMismatch, NotLetIn, Shell
from . import guards, target
from .facts import Note, Standing
from .job import rescue_key


def look(host: Dedicated, note: Note, login_key: str) -> Standing:
    """Ask the machine; it is an answer too that nothing answers. Changes nothing.

    Where a write was begun, silence is believed the second time only.
    """
    found = _look(host, note, login_key)
    return _look(host, note, login_key) if found.system == "silent" and note.open else found


def _look(host: Dedicated, note: Note, login_key: str) -> Standing:
    silence = "no install of it is under way"
    try:
        if note.host_key_fingerprint:
            try:
                with _shell(host, "core", (note.host_key_fingerprint,), login_key):
                    return Standing("installed")
            except (HostKeyMismatch, NotLetIn) as problem:
                silence = problem.found
        if note.host_keys:
            key = rescue_key(host, login_key, note.salt).private
            with _shell(host, "root", note.host_keys, key) as shell:
                return _in_rescue(shell, host, note)
    except RunbookError as problem:
        silence = problem.found
    return Standing(silence=silence)


def _shell(host: Dedicated, user: str, pinned: tuple[str, ...], key: str) -> Shell:
    return Shell(Address(str(host.address), host.ssh_port, user, frozenset(pinned)), key, timeout=10)


def _in_rescue(shell: Shell, host: Dedicated, note: Note) -> Standing:
    name, root = shell.read("hostname"), guards.root(shell.read("cat", "/proc/self/mounts"))
    if name != "rescue" or root:
        return Standing(silence=root or f"its host name is {name!r}, not 'rescue'")
    found, booted = target.inventory(shell), target.firmware(shell)
    if not note.attempt:
        return Standing("rescue", found, firmware=booted)
    return Standing("rescue", found, *target.script(shell, host, note.attempt), firmware=booted)
