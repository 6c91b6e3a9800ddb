"""What an operator reads of an install, good or bad: states, what was wiped, what is on the disk, what comes next."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..fleet import Dedicated, Fleet
from ..hetzner import target
from ..hetzner.facts import Disk, Observation
from ..plan import Progress, Watch
from ..views import Code, Fold, Note, Page, Table, View
from ..views.document import Tone

_SIZE = 10**9


class Log:
    """Hears every event of the installs, with the time of the wall, on its way to the run's own watch."""

    def __init__(self, watch: Watch, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._watch, self._now = watch, now
        self._lock = threading.Lock()
        self._events: list[tuple[datetime, Progress]] = []

    def __call__(self, event: Progress) -> None:
        """Pass it on, and remember it if it was taken."""
        self._watch(event)
        with self._lock:
            self._events.append((self._now(), event))

    def of(self, host: str) -> list[tuple[datetime, Progress]]:
        """What happened to one machine."""
        with self._lock:
            return [(at, event) for at, event in self._events if event.target.startswith(f"{host}/")]


def report(host: Dedicated, fleet: Fleet, log: Log, *, abandoned: bool = False) -> View:
    """One machine's timeline, and the few sentences that matter at night.

    `abandoned` says that its install may still be under way, and that nobody hears of it any more.
    """
    events = log.of(host.name)
    ends = {_state(event): event for _, event in events if event.phase in ("done", "failed")}
    failed = next((event for _, event in events if event.phase == "failed"), None)
    written = ends.get("installed")
    return Page.of(
        Fold(f"{host.name}, state by state, with the times", _timeline(events)),
        Note(f"Wiped: {_wiped(host, events)}", "warn"),
        Note(f"On the disk now: {_on_disk(host, events, ends)}"),
        Note(f"At Robot: {_at_robot(events, ends)}"),
        Code("the install script's last words", written.facts["log"]) if written and written.facts.get("log") else None,
        Code("what it has left, read from its rescue system", _left(ends["collected"]))
        if "collected" in ends
        else None,
        _next(host, failed, ends) if "tidied" in ends or not abandoned else _goes_on(host, events, ends),
        Code("what you would type without this tool", by_hand(host, fleet)),
    )


def disks(observations: Mapping[str, Observation], hosts: tuple[Dedicated, ...]) -> View | None:
    """The disks of the machines that are in their rescue systems: which one would be wiped, and which stay."""
    seen = _seen(observations, hosts)
    rows = [(host.name, *_disk(one), "WIPED" if host.disk in one.names else "stays as it is") for host, one in seen]
    tones: list[Tone] = ["bad" if row[-1] == "WIPED" else "plain" for row in rows]
    head = ("host", "disk", "model", "serial", "size", "letter now", "holds", "will be")
    return Table(head, rows, "Disks, as the rescue systems see them", tones) if rows else None


def disks_as_data(observations: Mapping[str, Observation], hosts: tuple[Dedicated, ...]) -> list[dict[str, Any]]:
    """The same as plain data; `wiped` is true of the one that the parameters name."""
    return [
        {
            "host": host.name,
            "names": sorted(one.names),
            "model": one.model,
            "serial": one.serial,
            "bytes": one.size,
            "letter_now": one.path,
            "holds": list(one.holds),
            "in_use": list(one.uses),
            "wiped": host.disk in one.names,
        }
        for host, one in _seen(observations, hosts)
    ]


def _seen(observations: Mapping[str, Observation], hosts: tuple[Dedicated, ...]) -> list[tuple[Dedicated, Disk]]:
    known = [host for host in hosts if host.name in observations]
    return [(host, one) for host in known for one in observations[host.name].standing.disks]


def by_hand(host: Dedicated, fleet: Fleet) -> str:
    """The commands of the whole way, for who has to go it alone."""
    robot = "https://robot-ws.your-server.de"
    place, device = f"root@{host.address}", f"/dev/disk/by-id/{host.disk}"
    image = fleet.hetzner.image if fleet.hetzner else None
    packed = "image.bz2" if image and image.file.endswith(".bz2") else "image"  # the script goes by the name
    files = f"{fleet.release.distribution}-install user_data"
    script = f"./{fleet.release.distribution}-install"
    command = target.command(fleet, host, script, "user_data", packed if image else "", uefi=host.firmware == "uefi")
    firmware = "" if host.firmware else "   # and -u, if `test -d /sys/firmware/efi` says that it is UEFI"
    return "\n".join(
        (
            "# into the rescue system; KEY is the MD5 fingerprint of a key that Robot has",
            f"curl -u USER -d os=linux -d 'authorized_key[]=KEY' {robot}/boot/{host.server}/rescue",
            f"curl -u USER -d type=hw {robot}/reset/{host.server}",
            f"curl -u USER {robot}/boot/{host.server}/rescue/last   # its host key's SHA-256, to compare at the login",
            f"ssh -p {host.ssh_port} {place} hostname               # must say: rescue",
            f"ssh -p {host.ssh_port} {place} lsblk -o PATH,WWN,SERIAL,MODEL,SIZE,MOUNTPOINTS,FSTYPE,LABEL",
            f"scp -P {host.ssh_port} {files} {place}:",
            *([f"scp -P {host.ssh_port} {image.file} {place}:{packed}"] if image else []),
            "# on it: wipe, install, look",
            f"wipefs --all {device}",
            f"{shlex.join(command)}{firmware}",
            f"lsblk -o PATH,PARTLABEL,PARTUUID,FSTYPE {device}",
            *(["efibootmgr -v   # an entry must name the PARTUUID of EFI-SYSTEM"] if host.firmware != "bios" else []),
            f"curl -u USER -X DELETE {robot}/boot/{host.server}/rescue && reboot",
        )
    )


def _disk(one: Disk) -> tuple[str, ...]:
    holds = "\n".join((*one.holds, *(f"in use: {use}" for use in one.uses))) or "nothing known"
    return one.wwn or "no name", one.model, one.serial, f"{one.size / _SIZE:.1f} GB", one.path, holds


def _state(event: Progress) -> str:
    return event.target.partition("/")[2]


def _timeline(events: list[tuple[datetime, Progress]]) -> Table:
    begun: dict[str, datetime] = {}
    rows = []
    for at, event in events:
        if event.phase == "begin":
            begun[event.target] = at
        elif event.phase in ("done", "failed"):
            took = (at - begun.get(event.target, at)).total_seconds()
            rows.append((_time(at), _state(event), event.phase, f"{took:.1f} s", event.detail))
    tones: list[Tone] = ["bad" if row[2] == "failed" else "good" for row in rows]
    return Table(("UTC", "state", "", "took", "detail"), rows, "", tones)


def _time(at: datetime) -> str:
    local = at.astimezone()
    return f"{at:%H:%M:%S}" if local.utcoffset() == timedelta(0) else f"{at:%H:%M:%S} ({local:%H:%M:%S} here)"


def _began(events: list[tuple[datetime, Progress]], state: str) -> bool:
    return any(_state(event) == state and event.phase == "begin" for _, event in events)


def _wiped(host: Dedicated, events: list[tuple[datetime, Progress]]) -> str:
    if not _began(events, "wiped"):
        return "nothing by this run" if _began(events, "installed") else "nothing; no disk was written"
    guarded = next((e.detail for _, e in reversed(events) if _state(e) == "guarded" and e.phase == "done"), host.disk)
    return f"{guarded.removeprefix('only ').removesuffix(' will be written')}, and no other disk"


def _at_robot(events: list[tuple[datetime, Progress]], ends: dict[str, Progress]) -> str:
    if "tidied" in ends:
        return ends["tidied"].detail
    armed = _began(events, "rescue armed") and "rescue pinned" not in ends
    more = "; the rescue system may be armed, and the next boot then goes there" if armed else ""
    return f"our temporary key may still be there{more}: the next run takes that away at its end"


def _on_disk(host: Dedicated, events: list[tuple[datetime, Progress]], ends: dict[str, Progress]) -> str:
    checked, written = ends.get("verified on disk"), ends.get("installed")
    if checked is not None and checked.phase == "done":
        return f"the new system, checked before the reboot: {checked.detail}"
    if _began(events, "installed") and written is None:
        return f"{host.disk} is overwritten, and does not boot yet: the install script goes on there by itself"
    if _began(events, "installed"):
        return f"{host.disk} is overwritten, and not known to be bootable"
    if _began(events, "wiped"):
        return f"{host.disk} has lost its signatures, and nothing new is on it"
    return "what was there before" if not _began(events, "up") else "the new system, which an earlier run has written"


def _left(collected: Progress) -> str:
    heads = {"disks": "its disks", "boot_entries": "the firmware's boot entries", "journal": "the journal on its ROOT"}
    return "\n".join(f"# {head}\n{collected.facts[name]}" for name, head in heads.items() if name in collected.facts)


def _goes_on(host: Dedicated, events: list[tuple[datetime, Progress]], ends: dict[str, Progress]) -> Note:
    """What is to be done about an install that was left to itself."""
    under_way = [_state(event) for _, event in events if event.phase == "begin" and _state(event) not in ends]
    where = f"{host.name} was left to itself at: {', '.join(under_way) or 'nothing, between two states'}"
    return Note(f"Next: run again with the same approval: it goes on where the machine is. {where}", "bad")


def _next(host: Dedicated, failed: Progress | None, ends: dict[str, Progress]) -> Note:
    if failed is None:
        return Note(f"Next: nothing: {host.name} is up, and the inventory has its host key", "good")
    if _state(failed) == "tidied":
        how = (
            "it is a step of its plan" if "verified" in ends or len(ends) == 1 else "it is done at the end of that run"
        )
        well = "; all before it went well" if len(ends) > 1 else ""
        return Note(f"Next: run again, to take away what may still be at Robot: {how}{well}", "warn")
    what = failed.detail if "\n" not in failed.detail else "what it said last is above"
    return Note(
        f"Next: {_state(failed)} has failed: {what}\nRemove the cause, and run again: it goes on where the machine is, "
        "and asks for another approval where anything would be written again.",
        "bad",
    )
