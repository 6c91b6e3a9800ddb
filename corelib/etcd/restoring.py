"""Restoring etcd from a snapshot, host by host: what a person does with `sudo`, `docker` and `etcdutl` over SSH.

Each command can be given again after an interruption at any point. Nothing in the data directory is deleted but what a
restore that was cut off has left half-done.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO, Protocol

from ..errors import Refused, ServiceFailed, TimedOut, Unhealthy
from ..member import quorum
from ..plan import Step
from ..ssh import Done, SshError
from .host import mount, properties, space
from .intended import OnHost
from .restore import Kept, Stand, tool_words

WELL_S = 180.0  # until all of etcd is well after all have started
_RESTORE_S = 1800.0  # a snapshot of the largest quota that etcd recommends, 8 GB
_PAUSE_S = 2.0
_PROPERTIES = "ActiveState,MainPID,LoadState,Environment,EnvironmentFiles"
_PROCESS = "etcd2?"
_SETS = re.compile(r"\b(ETCD_IMAGE(?:_URL|_TAG)?)=[\"']?([^\s\"']+)")
_IMAGE = "image"  # a file in the folder of the data of before
_DRAFTS = re.compile(r"snapshot-[0-9a-f]{12}\.db|restoring-[0-9a-f]{12}")  # half-done, of this restore or another


class Shell(Protocol):
    """What runs commands on a host."""

    def run(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> Done:
        """Its exit code and what it said. Raises SshError."""

    def read(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> str:
        """What it said, stripped. Raises SshError, CommandFailed."""

    def feed(self, write: Callable[[BinaryIO], object], *command: str, timeout: float = 30.0) -> str:
        """As `read`; `write` gives the command its standard input, as it comes."""


class Telling(Protocol):
    """Who is told what is waited for."""

    @property
    def facts(self) -> dict[str, Any]:
        """What goes into the journal with the step's end."""

    def waits(self, detail: str) -> None:
        """Say what is waited for."""


def look(shell: Shell, on: OnHost) -> Stand:
    """How far one host is."""
    try:
        return _look(shell, on)
    except SshError as problem:
        return Stand(problem=problem.found)
    except ValueError as problem:
        return Stand(problem=f"it said what was not expected: {problem}")


def _look(shell: Shell, on: OnHost) -> Stand:
    said = shell.read("systemctl", "show", on.unit, f"--property={_PROPERTIES}")
    shown = properties(said)
    names = _names(shell, on.data_dir)
    if names is None or (on.data_disk and not _is_mounted(shell, on)):
        return Stand(problem=f"{on.data_dir} is not there, or not on its data disk (findmnt -T {on.data_dir})")
    inside = _names(shell, f"{on.data_dir}/member") if "member" in names else None
    found = Stand(
        unit=shown["ActiveState"],
        masked=shown.get("LoadState") == "masked",
        process=shell.run("pgrep", "-x", _PROCESS).code == 0,
        names=names,
        inside=inside or frozenset(),
        free=space(shell.read("df", "-B1", "--output=size,avail", on.data_dir)).free,
        image=_image(shell, said),
    )
    return replace(found, image=found.image or _noted(shell, on, names))


def _names(shell: Shell, folder: str) -> frozenset[str] | None:
    """What lies there; None if there is no such folder."""
    listed = shell.run("sudo", "-n", "ls", "-1A", folder)
    if listed.code and "No such file" not in listed.err:
        raise ValueError(f"ls {folder} ended with {listed.code}: {listed.err.strip()}")
    return None if listed.code else frozenset(listed.out.split())


def _is_mounted(shell: Shell, on: OnHost) -> bool:
    said = shell.run("findmnt", "-n", "-o", "SOURCE,TARGET,FSTYPE", "-T", on.data_dir)
    return said.code == 0 and mount(said.out).target == on.data_dir


def _noted(shell: Shell, on: OnHost, names: frozenset[str]) -> str:
    """The image that was noted before the unit was masked, which shows nothing of itself since."""
    aside = next((name for name in sorted(names) if re.fullmatch(r"before-[0-9a-f]{12}", name)), "")
    said = shell.run("sudo", "-n", "head", "-c", "300", f"{on.data_dir}/{aside}/{_IMAGE}") if aside else None
    return said.out.strip() if said and not said.code else ""


def _image(shell: Shell, shown: str) -> str:
    """What the unit's wrapper runs: `ETCD_IMAGE`, or `ETCD_IMAGE_URL:ETCD_IMAGE_TAG` (Flatcar's etcd-wrapper).

    systemd shows what the unit sets, and of the files that win over that only their names (systemd.exec(5)).
    """
    found = dict(_SETS.findall("".join(re.findall(r"^Environment=.*$", shown, re.MULTILINE))))
    for file in re.findall(r"^EnvironmentFiles=(\S+) \(", shown, re.MULTILINE):
        found |= dict(_SETS.findall(shell.read("sudo", "-n", "cat", file)))
    parts = [found[name] for name in ("ETCD_IMAGE_URL", "ETCD_IMAGE_TAG") if name in found]
    return found.get("ETCD_IMAGE") or (":".join(parts) if len(parts) == 2 else "")


@dataclass(frozen=True, slots=True)
class Restoring:
    """What acts: the hosts' shells, what each must show, the snapshot, and its content, written to a stream.

    `well` looks at all of etcd, and says what is wrong; empty if nothing is.
    """

    shells: Mapping[str, Shell]
    hosts: Mapping[str, OnHost]
    kept: Kept
    content: Callable[[BinaryIO], object]
    well: Callable[[], str]

    def act(self, step: Step, telling: Telling) -> None:
        """Do one step to its end. Raises RunbookError."""
        does = {"aside": self._aside, "restore": self._restore, "start": self._start, "whole": self._whole}
        does[step.desired["kind"]](step, telling)

    def _aside(self, step: Step, telling: Telling) -> None:
        name = step.desired["name"]
        shell, on, stand = self.shells[name], self.hosts[name], self._stand(name)
        self._check_quorum(step)
        aside = f"{on.data_dir}/{self.kept.aside}"
        _sudo(shell, "mkdir", "-p", aside)
        shell.read("sudo", "-n", "dd", f"of={aside}/{_IMAGE}", "bs=1M", "status=none", stdin=stand.image.encode())
        telling.waits("etcd stops")
        _sudo(shell, "systemctl", "mask", on.unit)
        _sudo(shell, "systemctl", "stop", on.unit, timeout=120)
        for left in self.kept.strange(stand.names):  # of another restore, which this one takes the place of
            _sudo(shell, "mv", "-n", "-T", f"{on.data_dir}/{left}", f"{on.data_dir}/unfinished-{_now()}")
        _tidy(shell, on.data_dir, stand)
        if "member" in self._stand(name).names:
            telling.facts["set aside"] = place = f"{aside}/{_now()}"
            _sudo(shell, "mv", "-n", "-T", f"{on.data_dir}/member", place)
        if not (stand := self._stand(name)).is_aside(self.kept):
            words = "a process of etcd runs on" if stand.process else "data are where they were"
            found = f"its unit is {stand.unit}, and {words}"
            raise ServiceFailed(f"setting {name}'s data aside", found, "look at its host, then run again")

    def _check_quorum(self, step: Step) -> None:
        """Nothing is stopped while a quorum runs, which may have come back since the plan was made. Raises Refused."""
        running = [name for name in self.shells if self._stand(name).running]
        if len(running) >= quorum(len(self.shells)):
            found = f"etcd runs on {', '.join(running)} meanwhile, which is a quorum"
            raise Refused(f"doing {step.target}", found, "nothing was stopped: verify etcd")

    def _stand(self, name: str) -> Stand:
        """How far a host is now. Raises Unhealthy if it does not say."""
        stand = look(self.shells[name], self.hosts[name])
        if stand.problem:
            raise Unhealthy(f"looking at {name}", stand.problem, "mend that, then run again with the same approval")
        return stand

    def _restore(self, step: Step, telling: Telling) -> None:
        wanted = step.desired
        shell, place, tag = self.shells[wanted["name"]], wanted["data_dir"], self.kept.sha256[:12]
        file, draft = f"{place}/snapshot-{tag}.db", f"{place}/restoring-{tag}"
        telling.waits(f"{self.kept.size:,} bytes go to the host")
        if not self._stand(wanted["name"]).is_aside(self.kept):
            raise ServiceFailed(f"restoring {wanted['name']}", "etcd was started meanwhile", "run again")
        _sudo(shell, "rm", "-rf", draft)
        shell.feed(self.content, "sudo", "-n", "dd", f"of={file}", "bs=1M", "status=none", timeout=_RESTORE_S)
        arrived = _sudo(shell, "sha256sum", file, timeout=_RESTORE_S).split()[0]
        if arrived != self.kept.sha256:
            found = f"its SHA-256 is {arrived} on the host, and {self.kept.sha256} here"
            raise ServiceFailed(f"bringing the snapshot to {wanted['name']}", found, "run again: it is sent again")
        telling.waits("etcd's own tool makes its data of it")
        _sudo(shell, *tool_words(step, file, draft), timeout=_RESTORE_S)
        _sudo(shell, "mkdir", "-p", f"{draft}/member/{self.kept.mark}")
        _sudo(shell, "chown", "-R", f"--reference={place}", draft)
        _sudo(shell, "mv", "-n", "-T", f"{draft}/member", f"{place}/member")
        if _sudo(shell, "ls", "-1A", draft):  # mv(1) with -n says nothing where it has moved nothing
            found = f"there are other data in {place} meanwhile: etcd was started"
            raise ServiceFailed(f"restoring {wanted['name']}", found, "run again: they are put aside as well")
        _sudo(shell, "rm", "-rf", draft, file)
        telling.facts["snapshot"] = self.kept.sha256

    def _start(self, step: Step, _: Telling) -> None:
        on = self.hosts[step.desired["name"]]
        _sudo(self.shells[step.desired["name"]], "systemctl", "unmask", on.unit)
        # It says that it has started when it has a quorum: nobody waits for that here, or the first would for ever.
        _sudo(self.shells[step.desired["name"]], "systemctl", "start", "--no-block", on.unit)

    def _whole(self, step: Step, telling: Telling) -> None:
        """Until all is well; then what says that a restore is under way goes, so that another one begins anew."""
        end = time.monotonic() + WELL_S
        while problem := self.well():
            if time.monotonic() > end:
                raise TimedOut(f"waiting for {step.target}", problem, "verify-etcd says what is wrong; then run again")
            telling.waits(problem)
            time.sleep(_PAUSE_S)
        for name, shell in self.shells.items():
            place, stand = self.hosts[name].data_dir, self._stand(name)
            if self.kept.aside in stand.names:
                done = f"{place}/before-{_now()}"
                _sudo(shell, "mv", "-n", "-T", f"{place}/{self.kept.aside}", done)
                telling.facts[f"data of before on {name}"] = done
            _tidy(shell, place, stand)
            if self.kept.mark in stand.inside:
                _sudo(shell, "rmdir", f"{place}/member/{self.kept.mark}")


def _tidy(shell: Shell, place: str, stand: Stand) -> None:
    """Delete what a restore that was cut off has left half-done."""
    if drafts := [f"{place}/{one}" for one in sorted(stand.names) if _DRAFTS.fullmatch(one)]:
        _sudo(shell, "rm", "-rf", *drafts)


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"


def _sudo(shell: Shell, *words: str, timeout: float = 30.0) -> str:
    return shell.read("sudo", "-n", *words, timeout=timeout)
