"""deploy-azure on a lab with hosts and their etcd: a run after the other, killed where a test wants it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from corelib import lab, parameters, runbook
from corelib.etcd.canary import base64_of
from corelib.fleet import Fleet
from corelib.project import Project
from corelib.record import Record, read, records
from corelib.references import resolve
from corelib.runbook.subject import Subject
from corelib.runbook.verification import Verification, verify
from tests.project import lay_out

from .runs import at_event

_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(["corelib.runbook.deploy_azure", "tests.faults.azure.lives", "azure.identity._internal"])


@dataclass
class Life:
    """A project on a lab of its own, `network` with its last dot."""

    root: Path
    network: str

    @property
    def file(self) -> Path:
        return self.root / "parameters" / "lab.yaml"

    @property
    def fleet(self) -> Fleet:
        return parameters.load(self.file.read_text(), "parameters/lab.yaml").fleet

    def edit(self, **changes: str) -> None:
        """Replace texts in the parameters file, each of which is there."""
        text = self.file.read_text()
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        self.file.write_text(text)

    def plan(self, **asked: Sequence[str]) -> Record:
        """Plan only."""
        return self._run({**asked}, None, "plan")

    def apply(self, kill: int | None = None, **asked: Sequence[str]) -> Record:
        """Plan, consent to what the plan names, approve exactly that, apply; killed after so many events of its steps."""
        return self._run({**asked}, kill, "apply")

    def resume(self, **asked: Sequence[str]) -> Record:
        """Run again under the approval that was given last, as its operator would."""
        last = next(one for one in reversed(records(self.root, "lab")) if _approved(one))
        facts = next(entry for entry in read(Path(last.path)) if entry["kind"] == "parameters")
        return self._run({**asked, "consent": facts["consent"]}, None, facts["approved_plan"])

    def _run(self, asked: Mapping[str, Sequence[str]], kill: int | None, what: str) -> Record:
        process = _fork.Process(target=_child, args=(str(self.root), dict(asked), kill, what))
        process.start()
        process.join(240)
        assert process.exitcode is not None, "the run did not end in four minutes"
        return records(self.root, "lab")[-1]

    @property
    def said(self) -> str:
        """What the last run printed."""
        return (self.root / "said").read_text()

    def hosts(self) -> dict[str, lab.HostStatus]:
        return {one.name: one for one in lab.status(self.root, f"{self.network}0/24").hosts}

    def machines(self) -> dict[str, str]:
        """The VM id of each host, as the inventory has it."""
        content = json.loads((self.root / "state" / "lab" / "inventory.json").read_text())
        return {name: str(one["vm_id"]) for name, one in content["azure"]["hosts"].items()}

    def verified(self) -> Verification:
        """One look at etcd, from here."""
        return verify(Subject.of(self.fleet), lambda one: resolve(one, self.root), Project(self.root))


@contextmanager
def life(folder: Path, network: str) -> Iterator[Life]:
    """A project and its lab, which ends with the block; the first deployment is the test's."""
    root = lay_out(folder / "project", network.rstrip("."))
    lab.start(root, f"{network}0/24")
    try:
        yield Life(root, network)
    finally:
        lab.stop(root, f"{network}0/24")


@dataclass
class Reads:
    """Linearizable reads, one after the other as fast as they are answered, as a client with two endpoints makes them."""

    addresses: Sequence[IPv4Address]
    answered: int = 0
    longest: float = 0.0  # seconds without an answer
    failures: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def throughout(self) -> Iterator[Reads]:
        thread = threading.Thread(target=self._go_on)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join(30)

    def _go_on(self) -> None:
        last, at = time.monotonic(), 0
        while not self._end.is_set():
            try:
                self._read(self.addresses[at])
                self.answered += 1
                self.longest, last = max(self.longest, time.monotonic() - last), time.monotonic()
                time.sleep(0.02)
            except OSError as problem:  # a client tries the next one
                self.failures.append(str(problem))
                at = (at + 1) % len(self.addresses)
        self.longest = max(self.longest, time.monotonic() - last)

    def _read(self, address: IPv4Address) -> None:
        body = json.dumps({"key": base64_of("reads"), "serializable": False}).encode()
        request = urllib.request.Request(f"http://{address}:2379/v3/kv/range", body)
        with urllib.request.urlopen(request, timeout=3) as answer:  # noqa: S310
            assert "header" in json.load(answer)


def _approved(record: Record) -> bool:
    return any(e["kind"] == "parameters" and e.get("approved_plan") for e in read(Path(record.path)))


def _child(root: str, asked: dict[str, Sequence[str]], kill: int | None, what: str) -> None:
    """The process: deploy-azure without a kernel. `what`: plan, apply, or the digest to resume under."""
    said = os.open(f"{root}/said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.environ |= {"RUNBOOKS_ROOT": root, "NO_PROXY": "127.0.0.0/8"}
    names: dict[str, Any] = {"environment": "lab", "reason": "", "ticket": "", "break_glass": "", "force_unlock": ""}
    names |= {name: list(texts) for name, texts in asked.items()}
    digest = what
    if what in ("plan", "apply"):
        shown = runbook.begin("deploy-azure")
        shown.parameters({**names, "approved_plan": ""})
        print(shown.plan().text())
        if what == "plan" or not shown._shown.pending:
            shown.apply()
        shown.finish()
        if what == "plan" or not shown._shown.pending:
            sys.exit(0)
        digest, names["consent"] = shown._shown.digest, list(shown._shown.consents)
    if kill is not None:
        at_event(kill, lambda: os.kill(os.getpid(), signal.SIGKILL))
    run = runbook.begin("deploy-azure")
    run.parameters({**names, "approved_plan": digest})
    print(run.apply().text())
    run.finish()
