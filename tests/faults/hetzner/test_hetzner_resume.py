"""kill -9 at every state, and SSH cut at every position: run again, it goes on where the machine is, and writes once.

The install is killed in a forked child, from inside the watch: at the begin of every state and in the middle of those
that wait. SSH is cut at each command of the whole way, once before it reaches the machine and once before its answer
comes back.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corelib.errors import RunbookError
from corelib.hetzner.plan import looks
from corelib.hetzner.robot import Robot
from corelib.plan import Progress
from corelib.ssh import NoSsh, Shell
from tests.faults.hetzner.trial import HASTY, OTHER
from tests.faults.tables import InstallTable
from tests.hetzner.relay import Relay
from tests.hetzner.rig import QUICK, Rig
from tests.hetzner.test_install import LOOK, WRITE
from tests.lab.robot.standin import StandIn, running

pytestmark = pytest.mark.faults

# A second start of the script in one rescue system would be seen: it ends with 9.
ONCE = b"umask 077\n[ ! -e /tmp/ran ] || exit 9\ntouch /tmp/ran\nsleep 0.3\n"
POSITIONS = [
    *[("look", state, "begin") for state in LOOK],
    *[("look", state, "wait") for state in ("resetting", "rescue pinned")],
    *[("write", state, "begin") for state in WRITE],
    *[("write", state, "wait") for state in ("installed", "up", "verified")],
    ("write", "wiped", "done"),
    ("write", "verified on disk", "done"),
]


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running(tmp_path_factory.mktemp("robot")) as one:
        yield one


@pytest.mark.parametrize(("plan", "state", "phase"), POSITIONS)
def test_hetzner_killed_and_resumed(
    plan: str, state: str, phase: str, standin: StandIn, install_matrix: InstallTable
) -> None:
    rig, before = Rig.on(standin), standin.digest(OTHER)
    rig.deadlines = HASTY
    script = standin.installer.replace(b"umask 077\n", ONCE)

    def kill(event: Progress) -> None:
        if event.target.endswith(f"/{state}") and event.phase == phase:
            os.kill(os.getpid(), signal.SIGKILL)

    if plan == "look":
        _in_child(lambda: rig.inspect(watch=kill))
        if looks(rig.step(installer=script)):
            rig.inspect()
        approved = rig.step(installer=script)
    else:
        rig.inspect()
        approved = rig.step(installer=script)
        _in_child(lambda: rig.write(approved, installer=script, watch=kill))
        _recall(rig)
        again = rig.step(installer=script)
        assert again.digest == approved.digest or again.action == "keep", "the same approval covers what is left"
    if rig.memory.note.salt:
        rig.write(approved, installer=script)
    untouched = standin.digest(OTHER) == before
    name = f"killed at {state}, {phase}"
    install_matrix.row(name, "verified", "gone on with, and written once", untouched=untouched, seconds=0)
    assert untouched
    assert rig.plan(rig.entry).empty
    assert not rig.entry.get("pending")
    assert rig.robot().key_names() == {}
    assert not rig.robot().rescue(321).active


class Cut(Robot):
    """Its run is cut off when it has pressed the button."""

    def reset(self, number: int, kind: Any = "hw", *more: Any) -> None:
        super().reset(number, kind, *more)
        raise KeyboardInterrupt


class Armed(Robot):
    """By the time that the rescue system is armed again, the machine has booted it: the reset before did that."""

    def arm_rescue(self, number: int, key: str) -> None:
        super().arm_rescue(number, key)
        booted(self, number)


def booted(robot: Robot, number: int) -> None:
    deadline = time.monotonic() + 20
    while not ((last := robot.last_rescue(number)) and last.host_keys):
        assert time.monotonic() < deadline
        time.sleep(0.1)  # Robot answers 500 in an hour


@pytest.fixture
def cut(tmp_path: Path) -> Iterator[Rig]:
    """The machine is installed; the run that looks at it again was cut off when it had pressed the button."""
    with running(tmp_path / "robot", timing={"power": 3.0, "rescue": 0.2, "boot": 0.05}) as standin:
        rig = Rig.on(standin)
        rig.deadlines = replace(QUICK, rescue=8, ssh=8)
        rig.install()
        rig.entry = {}
        with pytest.raises(KeyboardInterrupt):
            rig.inspect(robot=rig.robot(Cut))
        yield rig


def test_hetzner_the_boot_that_a_run_before_has_asked_for_is_used(cut: Rig) -> None:
    before = len(cut.standin.requests("/reset/321"))
    cut.inspect(robot=cut.robot(Armed))
    assert cut.phases("done")[-3:] == ["rescue pinned", "inventoried", "tidied"]
    resets = [one for one in cut.standin.requests("/reset/321")[before:] if one[0] == "POST"]
    assert not resets


def test_hetzner_a_boot_that_is_gone_again_is_not_waited_for_twice(cut: Rig) -> None:
    pressed: list[int] = []

    class Pressed(Robot):
        """The machine boots it right before the button is pressed again, which ends it; nothing is armed any more."""

        def reset(self, number: int, kind: Any = "hw", *more: Any) -> None:
            if not pressed:
                booted(self, number)
            pressed.append(number)
            super().reset(number, kind, *more)

    cut.inspect(robot=cut.robot(Pressed))  # the system on its disk answers at first
    assert len(pressed) == 2
    assert cut.phases("done")[-3:] == ["rescue pinned", "inventoried", "tidied"]
    assert not cut.robot().rescue(321).active


@pytest.mark.parametrize(("lost", "port"), [("the command", 2223), ("its answer", 2224)])
def test_hetzner_cut_at_every_position(
    lost: str, port: int, tmp_path: Path, install_matrix: InstallTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One install whose connection is cut at every command, the first time that it comes to it."""
    with running(tmp_path / "robot") as standin, Relay((standin.address, 2222), (standin.address, port)) as relay:
        rig = Rig.on(standin, ssh_port=port)
        rig.deadlines = HASTY
        script, before = standin.installer.replace(b"umask 077\n", ONCE), standin.digest(OTHER)
        with monkeypatch.context() as patch:
            cut = _cut_once(relay, rig, patch, after=lost == "its answer")
            runs = _until_it_is_done(rig, script)
        untouched = standin.digest(OTHER) == before
        says = f"{len(cut)} cuts, {runs} runs, written once"
        install_matrix.row(f"SSH cut, {lost} is lost", "verified", says, untouched=untouched, seconds=0)
        assert untouched
        assert len(cut) > 30, cut
        assert rig.plan(rig.entry).empty
        assert rig.robot().key_names() == {}


def _until_it_is_done(rig: Rig, script: bytes) -> int:
    """Run, and run again after each failure, as an operator does; returns how often."""
    approved = None
    for run in range(1, 150):
        try:
            if rig.entry and not rig.entry.get("pending"):
                return run - 1
            step = rig.step(installer=script)
            if looks(step) and rig.memory.note.open:
                continue  # the plan says that nothing is known of a write: look again before that is approved
            if looks(step):
                rig.inspect()
                continue
            if approved is not None:
                assert step.digest == approved.digest, f"another approval is asked for: {step.why}; {_heard(rig)}"
            approved = step
            rig.write(step, installer=script)
        except RunbookError:
            continue
    raise AssertionError("it does not come to an end")


def _heard(rig: Rig) -> str:
    return "; ".join(f"{event.phase} {event.target}: {event.detail}" for event in rig.events[-12:])


def _cut_once(relay: Relay, rig: Rig, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> set[str]:
    """Cut at each command that has not been cut yet, known by the state it belongs to and its words."""
    run, done = Shell.run, set[str]()

    def cutting(shell: Shell, *command: str, **more: Any) -> Any:
        state = rig.events[-1].target if rig.events else "planning"
        position = f"{state} {' '.join(command)[:200]}"
        if position in done:
            return run(shell, *command, **more)
        done.add(position)
        if after:
            run(shell, *command, **more)
            relay.cut()
            raise NoSsh(f"running {command[0]}", "the connection was lost before the command ended")
        relay.cut()
        return run(shell, *command, **more)

    monkeypatch.setattr(Shell, "run", cutting)
    return done


def _in_child(work: Any) -> None:
    """Do it in a process of its own, which must be killed on its way.

    Not while a thread of an SSH connection is about to end: a lock of OpenSSL's that it holds is never freed in the child.
    """
    end = time.monotonic() + 10
    while threading.active_count() > 1 and time.monotonic() < end:
        time.sleep(0.01)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            work()
        except BaseException:  # noqa: BLE001 - told, and seen by the exit code
            traceback.print_exc()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed, f"it was not killed, but came to its end, or to none within a minute ({status})"


def _recall(rig: Rig) -> None:
    """What the killed process had remembered in its inventory."""
    file = rig.standin.folder / f"entry-{rig.number}.json"
    rig.entry = json.loads(file.read_text()) if file.exists() else {}
