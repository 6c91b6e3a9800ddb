"""`runbooks rehearse`: production's parameters on a lab of their own, all its runbooks, and what stays unproven."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import requests

from .. import lab, references, userdata
from ..errors import Refused, ServiceFailed
from ..fleet import Fleet
from ..project import Project
from ..record import Record
from ..views import Table
from . import inputs
from .demo import approval
from .launch import launch
from .rehearsal import Rehearsal, rehearsal
from .targets import Targets

Say = Callable[[str], None]

_INSTALLER = Path(lab.__file__).parent / "files" / "flatcar-install"  # what a lab writes out when it starts
_IDLE = 10.0  # seconds that the lab outlives this process, if that is killed
_STAGES = 3  # plan and apply: the addresses, the hosts, and nothing more
_FEW = 8  # addresses of hosts that are shown
_GOOD = ("succeeded", "no change")


def rehearse(file: Path, at: Project, network: str, say: Say) -> int:
    """Map, run, and leave nothing running; 0 if every runbook went well, 1 if one did not.

    Raises BadInput and Refused before anything is begun, KeyboardInterrupt after the lab was stopped.
    """
    loaded = inputs.load(file, at)
    _no_other(at, network)
    made = rehearsal(loaded, IPv4Network(network), hashlib.sha256(_INSTALLER.read_bytes()).hexdigest())
    own = _lay_out(made, at)
    fleet = inputs.load(own, at).fleet
    say(f"Rehearsing {loaded.source} as {made.environment}, on a lab on {network}: nothing leaves this machine.")
    say(_shown(made))
    documents = userdata.render(loaded.fleet)
    userdata.require(documents, f"rehearsing {loaded.source}")
    say(f"✔ {loaded.source} itself renders: {len(documents)} documents, read back as each release reads them.")
    begun = time.monotonic()
    lease = lab.ensure(at.root, network, _IDLE)
    try:
        _name(fleet, lease.endpoints, at)
        _give(fleet, at)
        good = all(_play(name, own, at, say) for name in _runbooks(fleet))
    finally:
        lease.close()
        lab.stop(at.root, network)
        say("The lab is stopped.")
    say(_verdict(made, time.monotonic() - begun, good=good))
    return 0 if good else 1


def _no_other(at: Project, network: str) -> None:
    if lab.status(at.root, network).running:
        remedy = f"end it: runbooks lab stop --network {network}"
        raise Refused("rehearsing", f"a lab runs on {network}, and a rehearsal begins with an empty one", remedy)


def _lay_out(made: Rehearsal, at: Project) -> Path:
    """The mapped parameters as a file; what an earlier rehearsal remembered is of a lab that is gone."""
    name = made.environment
    if at.parameters(name).exists():
        found = f"parameters/{name}.yaml is an environment of that name, and its state would be replaced"
        raise Refused(f"rehearsing as {name}", found, "give that environment another name")
    shutil.rmtree(at.state(name), ignore_errors=True)
    at.state(name).mkdir(parents=True)
    file = at.state(name) / "parameters.yaml"
    file.write_text(made.text)
    return file


def _runbooks(fleet: Fleet) -> tuple[str, ...]:
    azure = ("deploy-azure",) if fleet.clusters else ()
    dedicated = ("install-hetzner",) if fleet.dedicated else ()
    return ("render", *azure, *dedicated, "verify-etcd")


def _name(fleet: Fleet, endpoints: lab.Endpoints, at: Project) -> None:
    """The lab's dedicated machine gets the host's name, as its owner would rename it (Robot: POST /server/{number})."""
    if fleet.hetzner is None:
        return
    login = (references.resolve(fleet.hetzner.user, at.root), references.resolve(fleet.hetzner.password, at.root))
    session = requests.Session()
    session.trust_env = False  # a proxy of the environment is not for a lab
    for host in fleet.dedicated:
        url, form = f"{endpoints.robot}/server/{host.server}", {"server_name": host.name}
        answer = session.post(url, form, auth=login, verify=endpoints.ca, timeout=10)
        if not answer.ok:
            raise ServiceFailed(f"naming the lab's dedicated machine {host.name}", f"Robot says {answer.status_code}")


def _give(fleet: Fleet, at: Project) -> None:
    """The resource groups that are given are there before anything is deployed, as in production."""
    given = {cluster.resource_group: cluster.location for cluster in fleet.clusters if cluster.resource_group}
    if fleet.azure is None or not given:
        return
    from ..azure import client  # noqa: PLC0415 - slow to load, and seldom needed

    endpoint, ca = Targets.of(fleet, at.root, lambda reference: references.resolve(reference, at.root)).azure()
    credential = client.credential_of(fleet.azure.credential)
    cloud = client.connect(fleet.azure, endpoint=endpoint, verify=ca, credential=credential)
    with client.told("making the resource groups that are given"):
        for name, location in given.items():
            cloud.resources.resource_groups.create_or_update(name, {"location": location})


def _play(name: str, file: Path, at: Project, say: Say) -> bool:
    """Run one runbook to its end, and say in a line how it went; what it said is told only where it went wrong."""
    told: list[str] = []
    begun = time.monotonic()

    def listen(line: str) -> None:
        told.append(line)
        if "Interrupted" in line:
            say(line)

    done, remark = _run(name, file, at, listen)
    good = done.outcome in _GOOD
    seconds, where = time.monotonic() - begun, str(done.path).removeprefix(f"{at.root}/")
    for line in () if good else told:
        say(line)
    say(f"{'✔' if good else '✘'} {name:16} {done.outcome}{remark}, {seconds:.0f} s: {where}")
    return good


def _run(name: str, file: Path, at: Project, listen: Say) -> tuple[Record, str]:
    """The record that tells how it went. A changing runbook is planned and applied until nothing is left to do."""
    if name not in ("deploy-azure", "install-hetzner"):
        return _once(name, file, {}, at, listen), ""
    last, stages = None, 0
    for _ in range(_STAGES):
        planned = _once(name, file, {}, at, listen)
        if planned.outcome == "no change" and last is not None:
            return last, f" in {stages} stages, and then nothing to do" if stages > 1 else ", and then nothing to do"
        if planned.outcome != "awaiting approval":
            return planned, ""
        last, stages = _once(name, file, approval(planned, at), at, listen), stages + 1
        if last.outcome != "succeeded":
            return last, ""
    found = f"after {_STAGES} applies it still finds something to do"
    raise ServiceFailed(f"rehearsing {name}", found, "look at the plan of its last record")


def _once(name: str, file: Path, settings: Mapping[str, Any], at: Project, listen: Say) -> Record:
    launched = launch(name, file, {"reason": "rehearsal", **settings}, at, listen)
    if launched.interrupted:
        raise KeyboardInterrupt
    return launched.record


def _shown(made: Rehearsal) -> str:
    """What was mapped; an address stands once, whatever it is the address of, and of many only the first ones."""
    by_values: dict[tuple[str, str], list[str]] = {}
    for one in made.changes:
        by_values.setdefault((_word(one.old), _word(one.new)), []).append(one.name)
    rows = [(_names(names), *values) for values, names in by_values.items()]
    hosts = [row for row in rows if row[0].startswith(("etcd.bootstrap.", "etcd.added.", "clusters["))][_FEW:]
    more = f"\n  … and {len(hosts)} more of that kind" if hosts else ""
    shown = [row for row in rows if row not in hosts]
    return Table(("what was mapped", "in the file", "in the rehearsal"), shown).text() + more


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _word(value: object) -> str:
    text = "—" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _verdict(made: Rehearsal, seconds: float, *, good: bool) -> str:
    head = "All of it went well" if good else "Not all of it went well"
    return "\n".join(
        [f"{head}, in {seconds:.0f} s. A rehearsal does not prove:", *(f"  · {one}" for one in made.unproven)]
    )
