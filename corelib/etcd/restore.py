"""Restoring etcd from a snapshot where its quorum is lost: the plan. Pure.

All members take part, whatever state each is in: on every host etcd's unit is masked and stopped and its data are set
aside, the snapshot becomes the data of a new cluster of them all, with the ids that the parameters give (etcd's docs,
op-guide/recovery), and all start. No data are deleted. A host that was left out would come back with the data of
before, and with ids that the new cluster has too: so there is none. The mask keeps a host that boots in between from
founding an empty cluster under those ids; the mark of what was restored lies in etcd's data, and goes where they go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..member import Member, quorum
from ..plan import Step
from .intended import Intended, OnHost

_ETCD_2 = "etcd2.service"
_ASIDE = re.compile(r"before-[0-9a-f]{12}")  # while a restore is under way
_BEFORE = re.compile(r"before-\d{8}T")  # from when it was finished on


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot as it was opened: its file's name, when it was taken (UTC), and of etcd's data size and SHA-256.

    `age` is how long ago that was, in words.
    """

    name: str
    taken: str
    size: int
    sha256: str
    age: str = ""

    @property
    def aside(self) -> str:
        """What the folder is called where a host's data of before are put."""
        return f"before-{self.sha256[:12]}"

    @property
    def mark(self) -> str:
        """What the empty folder among etcd's data is called that says that they are this snapshot's."""
        return f"restored-{self.sha256[:12]}"

    def strange(self, names: Iterable[str]) -> tuple[str, ...]:
        """Where another restore that was not brought to its end has put data of before."""
        return tuple(sorted(one for one in names if _ASIDE.fullmatch(one) and one != self.aside))


@dataclass(frozen=True, slots=True)
class Stand:
    """One host: etcd's unit as systemd has it, what lies in its data directory, bytes that are free there, its image.

    `problem` says why it could not be asked, if so; `inside` is what lies in `member`, where etcd has its data.
    """

    problem: str = ""
    unit: str = ""  # its ActiveState; one that waits for a quorum is `activating`
    masked: bool = False
    process: bool = False  # one of etcd's, whoever has started it
    names: frozenset[str] = frozenset()
    inside: frozenset[str] = frozenset()
    free: int = 0
    image: str = ""

    @property
    def running(self) -> bool:
        """Whether etcd runs, and has served."""
        return self.unit == "active"

    @property
    def half_done(self) -> bool:
        """Whether a restore has begun here, from whichever snapshot, and has not been finished."""
        return self.masked or any(_ASIDE.fullmatch(name) for name in self.names)

    @property
    def before(self) -> list[str]:
        """Where data of before are that finished restores have put aside: after another one there are more."""
        return sorted(name for name in self.names if _BEFORE.match(name))

    def begun(self, kept: Kept) -> bool:
        """Whether a restore from this snapshot has begun here, and has not been finished."""
        return kept.aside in self.names or self.is_restored(kept)

    def is_aside(self, kept: Kept) -> bool:
        """Whether etcd is stopped, and will not start by itself, and its data are out of the way."""
        stopped = self.unit in ("inactive", "failed") and self.masked and not self.process
        return kept.aside in self.names and "member" not in self.names and stopped

    def is_open(self, kept: Kept) -> bool:
        """Whether a restore from this snapshot has put its data aside, and given it none yet."""
        return kept.aside in self.names and not self.is_restored(kept)

    def is_restored(self, kept: Kept) -> bool:
        """Whether its data began as those of the snapshot."""
        return kept.mark in self.inside


@dataclass(frozen=True, slots=True)
class Restore:
    """What is to be restored where: `stands` and `hosts` by member; `environment` names the cluster for the consent."""

    environment: str
    intended: Intended
    kept: Kept
    stands: Mapping[str, Stand]
    hosts: Mapping[str, OnHost]

    def steps(self) -> tuple[Step, ...]:
        """What is left to do, in its order; only what forbids it, if anything does."""
        blocked = tuple(self._blocked())
        if blocked:
            return blocked
        members, kept, stands = self.intended.members, self.kept, self.stands
        running = [one for one in members if stands[one.name].running]
        if len(running) == len(members) and not any(stand.half_done for stand in stands.values()):
            why = (
                f"etcd runs on all of its hosts; if it must be restored all the same, stop it there first: {self._stop}"
            )
            return (Step("etcd/restore", "keep", "nothing is restored", why, told=True),)
        restored = self._restored()
        aside = [self._aside(m) for m in members if m.name not in restored and not stands[m.name].is_aside(kept)]
        back = [self._back(m, _targets(aside)) for m in members if m.name not in restored]
        if back and len(running) >= quorum(len(members)):
            why = (
                f"etcd runs on {len(running)} of {len(members)} hosts, which is a quorum: verify-etcd says what is "
                f"wrong. If it must be restored all the same, stop it there first: {self._stop}"
            )
            return (Step("etcd/restore", "blocked", _WHAT, why),)
        well = {name for name in restored if stands[name].running and not stands[name].masked}
        start = [self._start(m, _targets(back)) for m in members if m.name not in well]
        whole = Step(
            "etcd/whole/all",
            "create",
            "all of etcd is verified: members, ids, a write through each, one hash",
            "a restore is believed only then",
            after=_targets(start),
            desired={"kind": "whole", "name": "all", "snapshot": kept.sha256},
        )
        return (*aside, *back, *start, whole)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is lost by it, and what speaks against it."""
        ago = f", {self.kept.age} ago" if self.kept.age else ""
        lost = (
            f"The snapshot is of {self.kept.taken}{ago}: what was written to etcd since then is lost. Who watches etcd "
            "(Kubernetes' API servers) has to be started again afterwards, for its revisions go back."
        )
        data = [(m.name, s) for m in self.intended.members if "member" in (s := self.stands[m.name]).names]
        idle = [name for name, stand in data if not stand.half_done and not stand.running]
        waits = [name for name in idle if self.stands[name].unit == "activating"]
        unit = self.hosts[self.intended.members[0].name].unit
        found = []
        if waits:
            found.append(
                f"{', '.join(waits)}: etcd waits for the others there. If the network between them can be mended, "
                "nothing need be restored, and nothing is lost: look at the overlay first."
            )
        if ended := [name for name in idle if name not in waits]:
            found.append(
                f"{', '.join(ended)}: there are data of etcd, which does not run. If it can be started there "
                f"(journalctl -u {unit} says why it ended; sudo systemctl start {unit}) until a quorum runs, nothing "
                "need be restored, and nothing is lost."
            )
        return (*found, lost)

    @property
    def _stop(self) -> str:
        return f"sudo systemctl stop {self.hosts[self.intended.members[0].name].unit}"

    def _restored(self) -> set[str]:
        """The hosts whose data are the snapshot's, and nothing newer than any other's."""
        kept, stands = self.kept, {one.name: self.stands[one.name] for one in self.intended.members}
        marked = {name for name, stand in stands.items() if stand.is_restored(kept)}
        used = any(not stands[name].masked for name in marked)  # it was started: there may be newer data in it
        if used and all(one.running and not one.is_open(kept) and not one.masked for one in stands.values()):
            return {*stands}  # all that is left is to look at it, and to take the marks away
        return set() if used and marked != {*stands} else marked

    def _blocked(self) -> Iterator[Step]:
        members, founders = self.intended.members, self.intended.founders
        if set(members) != set(founders):
            listed = ", ".join(f"{one.name}: {one.address}" for one in members)
            why = (
                "after a restore all members are founders: write etcd.bootstrap: "
                f"{{{listed}}}, a new etcd.token, and neither added nor removed; then plan again"
            )
            yield Step("etcd/restore", "blocked", _WHAT, why)
        for member in members:
            if why := self._forbids(member):
                yield Step(f"etcd/restore/{member.name}", "blocked", _WHAT, why)

    def _forbids(self, member: Member) -> str:
        """Why a host cannot take part; empty if it can."""
        stand = self.stands[member.name]
        if stand.problem:
            return (
                f"its host cannot be asked: {stand.problem}. Mend that, and plan again: it has to take part, for it "
                "could come back with its data of before. Only if it is lost for good: delete its machine and its data "
                "disk at Azure (az vm delete, az disk delete), deploy new ones, and plan again"
            )
        if self.hosts[member.name].unit == _ETCD_2:
            return "it runs etcd 2, which has no snapshots: restore the copy that etcdctl backup has made, by hand"
        if not stand.image:
            return f"the unit {self.hosts[member.name].unit} names no image of etcd, whose tools would restore it"
        needed = 0 if stand.begun(self.kept) else 2 * self.kept.size + _ROOM
        if stand.free < needed:
            free, wanted = stand.free // 10**6, needed // 10**6
            return f"the disk of its data has {free} MB free, and {wanted} MB are needed: make it larger, or free some"
        return ""

    def _aside(self, member: Member) -> Step:
        place = f"{self.hosts[member.name].data_dir}/{self.kept.aside}"
        return Step(
            f"etcd/aside/{member.name}",
            "change",
            f"etcd is stopped and masked, and its data are put into {place}, in the end before-TIME",
            "nothing is deleted; a new cluster begins",
            f"etcd on {member.name}, if it runs: it has no quorum",
            self._consent,
            desired={**self._desired("aside", member), "data_dir": self.hosts[member.name].data_dir},
        )

    def _back(self, member: Member, after: tuple[str, ...]) -> Step:
        kept, intended = self.kept, self.intended
        return Step(
            f"etcd/restore/{member.name}",
            "replace",
            f"the data of {kept.taken}: {kept.size:,} bytes, SHA-256 {kept.sha256[:12]}…",
            "the quorum is lost",
            f"what was written to etcd after {kept.taken} is gone for its users",
            self._consent,
            after,
            desired={
                **self._desired("restore", member),
                "peer_url": member.peer_url,
                "initial_cluster": ",".join(f"{one.name}={one.peer_url}" for one in intended.founders),
                "token": intended.token,
                "data_dir": self.hosts[member.name].data_dir,
                "image": self.stands[member.name].image,
            },
        )

    def _start(self, member: Member, after: tuple[str, ...]) -> Step:
        return Step(
            f"etcd/start/{member.name}",
            "change",
            "etcd starts with the restored data",
            "all of them have theirs",
            after=after,
            desired=self._desired("start", member),
        )

    def _desired(self, kind: str, member: Member) -> dict[str, Any]:
        # With `before`, which another restore makes longer: so that an approval is good for one of them.
        of_host = {"unit": self.hosts[member.name].unit, "before": self.stands[member.name].before}
        return {"kind": kind, "name": member.name, "snapshot": self.kept.sha256, **of_host}

    @property
    def _consent(self) -> str:
        return f"restore {self.environment} from {self.kept.name}"


_WHAT = "etcd would be restored"
_ROOM = 256 * 2**20  # for two files of etcd's log, 64 MB each, and what it writes while it starts


def _targets(steps: list[Step]) -> tuple[str, ...]:
    return tuple(step.target for step in steps)


def by_hand(step: Step) -> Iterator[Sequence[str]]:
    """What a person types for one step, on the member's host, where etcd.db is the snapshot, decrypted."""
    wanted = step.desired
    if wanted.get("kind") == "aside":
        yield ["sudo", "systemctl", "mask", wanted["unit"]]
        yield ["sudo", "systemctl", "stop", wanted["unit"]]
        yield ["sudo", "mv", "-T", f"{wanted['data_dir']}/member", f"{wanted['data_dir']}/before-by-hand"]
    elif wanted.get("kind") == "restore":
        yield ["sudo", "mv", "etcd.db", f"{wanted['data_dir']}/etcd.db"]
        yield ["sudo", *tool_words(step, f"{wanted['data_dir']}/etcd.db", f"{wanted['data_dir']}/restored")]
        yield ["sudo", "chown", "-R", f"--reference={wanted['data_dir']}", f"{wanted['data_dir']}/restored"]
        yield ["sudo", "mv", "-T", f"{wanted['data_dir']}/restored/member", f"{wanted['data_dir']}/member"]
    elif wanted.get("kind") == "start":
        yield ["sudo", "systemctl", "unmask", wanted["unit"]]
        yield ["sudo", "systemctl", "start", "--no-block", wanted["unit"]]
    elif wanted.get("kind") == "whole":
        yield ["etcdctl", "endpoint", "health", "--cluster"]


def tool_words(step: Step, file: str, draft: str) -> tuple[str, ...]:
    """etcd's tool in etcd's own image; without the hash at a snapshot's end, which was checked when it was taken."""
    wanted = step.desired
    return (
        *(
            "docker",
            "run",
            "--rm",
            "--name=restoring-etcd",
            "--network=none",
            f"--volume={wanted['data_dir']}:{wanted['data_dir']}",
        ),
        *(f"--entrypoint=/usr/local/bin/{_tool(wanted['image'])}", wanted["image"]),
        *("snapshot", "restore", file, "--skip-hash-check", f"--name={wanted['name']}"),
        *(f"--initial-cluster={wanted['initial_cluster']}", f"--initial-cluster-token={wanted['token']}"),
        *(f"--initial-advertise-peer-urls={wanted['peer_url']}", f"--data-dir={draft}"),
    )


def _tool(image: str) -> str:
    """What restores in an image: `etcdutl` came with 3.5, and took it over from `etcdctl`."""
    return "etcdctl" if re.search(r":v?3\.[0-4]\.", image) else "etcdutl"
