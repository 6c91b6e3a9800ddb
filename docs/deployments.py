"""Writes docs/deploy-azure/*.html: what an operator sees of a first deployment in two stages, and of what comes later.

Run by `make docs`, on a lab of its own: the addresses, the hosts, no change, drift, a host made anew, a quorum that is
lost and etcd restored, a site that goes, something foreign in the way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pages

from corelib import lab, parameters
from corelib.azure import client

NETWORK = "127.0.93"
HOSTS = [f"azure-lab-0{n}" for n in (1, 2, 3, 4)]


def main() -> None:
    """Deploy in two stages, look again, change something by hand, put something foreign in the way."""
    with tempfile.TemporaryDirectory() as name:
        root = pages.checkout(Path(name) / "project", NETWORK)
        over_wireguard(root / "parameters" / "lab.yaml")
        lab.start(root, f"{NETWORK}.0/24")
        try:
            first_deployment(root)
            keep(root, pages.run(root, "deploy-azure"), "no-change")
            cloud = somebody_else(root)
            drift(cloud)
            planned = pages.run(root, "deploy-azure")
            keep(root, planned, "drift")
            pages.run(root, "deploy-azure", "--approved-plan", digest(planned))
            made_anew(root)
            restored(root)
            keep(root, pages.run(root, "deploy-azure", "--destroy", "azure-lab-b"), "destroy-planned")
            foreign(cloud)
            keep(root, pages.run(root, "deploy-azure"), "blocked")
        finally:
            lab.stop(root, f"{NETWORK}.0/24")


def keep(root: Path, record: Path, name: str) -> None:
    pages.keep(root, record, f"deploy-azure/{name}")


def first_deployment(root: Path) -> None:
    """The addresses are planned, approved and applied; then the hosts that name them."""
    for stage in ("addresses", "hosts"):
        planned = pages.run(root, "deploy-azure", "--reason", "the first deployment")
        keep(root, planned, f"{stage}-planned")
        approval = ("--approved-plan", digest(planned))
        keep(root, pages.run(root, "deploy-azure", "--reason", "the first deployment", *approval), f"{stage}-applied")


def made_anew(root: Path) -> None:
    """A host whose disk fails is replaced: planned, consented to, applied."""
    asked = ("--replace", "azure-lab-02", "--reason", "its disk is failing")
    planned = pages.run(root, "deploy-azure", *asked)
    keep(root, planned, "replace-planned")
    approval = ("--approved-plan", digest(planned), "--consent", "replace azure-lab-02")
    keep(root, pages.run(root, "deploy-azure", *asked, *approval), "replace-applied")


def restored(root: Path) -> None:
    """Two of four lose their data, and the quorum is lost: etcd is restored from the snapshot of the replacement."""
    for host in lab.status(root, f"{NETWORK}.0/24").hosts:
        if host.name in ("azure-lab-03", "azure-lab-04") and host.etcd_pid is not None:
            os.kill(host.etcd_pid, signal.SIGKILL)
            shutil.rmtree(root / f".lab/{NETWORK}.0-24/hosts/{host.name}/root/var/lib/etcd/member")
    (file,) = (root / "state/lab/snapshots").glob("*-azure-lab-02.db.age")
    asked = ("--restore", file.name, "--reason", "a storage fault at the second site")
    planned = pages.run(root, "deploy-azure", *asked)
    keep(root, planned, "restore-planned")
    approval = ("--approved-plan", digest(planned), "--consent", f"restore lab from {file.name}")
    keep(root, pages.run(root, "deploy-azure", *asked, *approval), "restore-applied")


def digest(planned: Path) -> str:
    """What an operator approves who has read the plan."""
    found: str = json.loads((planned / "plan.json").read_text())["digest"]
    return found


def over_wireguard(file: Path) -> None:
    """An overlay whose hosts name each other's reserved addresses, so that there are two stages."""
    keys = {name: base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in HOSTS}
    file.write_text(file.read_text().replace("kind: none, ", f"kind: wireguard, keys: {json.dumps(keys)}, "))


def somebody_else(root: Path) -> client.Cloud:
    """Another client, as of the portal."""
    endpoints = lab.status(root, f"{NETWORK}.0/24").endpoints
    account = parameters.load((root / "parameters" / "lab.yaml").read_text(), "lab.yaml").fleet.azure
    if endpoints is None or account is None:
        raise LookupError("no lab runs")
    os.environ |= {"IDENTITY_ENDPOINT": endpoints.identity, "IDENTITY_HEADER": endpoints.identity_header}
    os.environ |= {"NO_PROXY": "127.0.0.0/8", "no_proxy": "127.0.0.0/8"}
    credential = client.credential_of("managed-identity")
    return client.connect(account, endpoint=endpoints.arm, verify=endpoints.ca, credential=credential)


def drift(cloud: client.Cloud) -> None:
    """Somebody opens etcd to the world, switches a machine off, and deletes another."""
    groups = cloud.network.network_security_groups
    body = groups.get("azure-lab-a", "azure-lab-a-nsg").as_dict()
    rule = {
        "priority": 300,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "Tcp",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "2379",
    }
    body["properties"]["securityRules"].append({"name": "etcd-for-a-moment", "properties": rule})
    groups.begin_create_or_update("azure-lab-a", "azure-lab-a-nsg", body).result()
    cloud.compute.virtual_machines.begin_deallocate("azure-lab-b", "azure-lab-03").result()
    cloud.compute.virtual_machines.begin_delete("azure-lab-b", "azure-lab-04").result()


def foreign(cloud: client.Cloud) -> None:
    """Something of our name that is not ours: its tags say nothing of us."""
    body = cloud.network.virtual_networks.get("azure-lab-b", "azure-lab-b-net").as_dict()
    cloud.network.virtual_networks.begin_create_or_update(
        "azure-lab-b", "azure-lab-b-net", {**body, "tags": {"team": "web"}}
    ).result()


if __name__ == "__main__":
    main()
