"""deploy-azure and verify-etcd on a lab of their own, as a user runs them: plan, approve, apply, verify, break, verify."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corelib import lab, parameters
from corelib.azure import client
from corelib.record import read
from tests.project import lay_out, python_path

from . import papermill

NETWORK = "127.0.8.0/24"
LAB = ("-f", "parameters/lab.yaml")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "project", "127.0.8")
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def _hosts(root: Path) -> dict[str, lab.HostStatus]:
    return {host.name: host for host in lab.status(root, NETWORK).hosts}


def _digest(shown: str) -> str:
    return re.findall(r"Digest: (plan-[0-9a-f]{16})", shown)[0]


def _verify(root: Path, *options: str) -> tuple[int, str]:
    """`runbooks verify`, as it is typed: exit code and standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "corelib.cli", "verify", *LAB, *options],
        cwd=root, env={**os.environ, "RUNBOOKS_ROOT": str(root)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_plan_approve_apply_verify_and_a_dead_member(root: Path) -> None:
    planned = papermill.run(root, "deploy-azure", *LAB)
    assert (planned.code, planned.record.outcome) == (0, "awaiting approval")
    digest = _digest(planned.shown)
    assert f"-p approved_plan {digest}" in planned.shown
    assert _hosts(root) == {}
    assert json.loads((Path(planned.record.path) / "plan.json").read_text())["digest"] == digest

    # From another folder the plan is the same one, and another digest is refused with nothing done.
    again = papermill.run(root, "deploy-azure", "-f", "../parameters/lab.yaml", cwd=root / "parameters")
    assert _digest(again.shown) == digest
    wrong = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", "plan-0123456789abcdef")
    assert wrong.record.outcome == "refused"
    assert "no plan plan-0123456789abcdef was ever shown here" in wrong.shown
    assert "Traceback" not in wrong.shown
    assert _hosts(root) == {}

    applied = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest)
    assert (applied.code, applied.record.outcome) == (0, "succeeded")
    looks = [entry for entry in read(Path(applied.record.path)) if entry["kind"] == "look"]
    assert [one["at"] for one in looks if one["requests"]].count("what is there") == 4, (
        "plan, apply, its end and what is left"
    )
    steps = [entry for entry in read(Path(applied.record.path)) if entry["kind"] == "step"]
    begun = [entry["target"] for entry in steps if entry["phase"] == "begin"]
    assert len(begun) == len(set(begun)) == 22
    assert all(entry["facts"]["requests"] for entry in steps if entry["phase"] == "done")
    assert {host.state for host in _hosts(root).values()} == {"etcd runs"}

    kept = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest)
    assert kept.record.outcome == "no change"

    healthy = papermill.run(root, "verify-etcd", *LAB)
    assert (healthy.code, healthy.record.outcome) == (0, "succeeded")
    assert "4 voters, quorum 3: one more loss tolerated" in healthy.shown
    report = json.loads((Path(healthy.record.path) / "report.json").read_text())
    assert (report["verdict"], set(report["members"])) == ("healthy", set(_hosts(root)))
    code, said = _verify(root)
    assert (code, "healthy: cluster" in said) == (0, True)

    pid = _hosts(root)["azure-lab-03"].etcd_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    broken = papermill.run(root, "verify-etcd", *LAB)
    assert broken.code != 0
    assert broken.record.outcome == "unhealthy"
    assert "azure-lab-03 runs no etcd, etcd-member.service is failed, ended by signal 9" in broken.shown
    assert "Traceback" not in broken.shown
    code, said = _verify(root, "--json")
    facts = json.loads(said)
    assert (code, facts["verdict"]) == (4, "unhealthy")
    assert facts["sentence"].startswith("azure-lab-03 runs no etcd, etcd-member.service is failed")
    assert "azure-lab-03 answered, and does not now" in facts["since"]
    assert f"Changed since the last healthy run ({healthy.record.id}):" in broken.shown


@pytest.mark.faults
def test_a_machine_that_somebody_deleted_comes_back_with_etcds_data(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk outlived it: the member is the same one, and nothing has to be told to the cluster."""
    digest = _digest(papermill.run(root, "deploy-azure", *LAB).shown)
    assert papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest).record.outcome == "succeeded"
    _cloud(root, monkeypatch).compute.virtual_machines.begin_delete("azure-lab-b", "azure-lab-04").result()
    assert set(_hosts(root)) == {"azure-lab-01", "azure-lab-02", "azure-lab-03"}
    assert papermill.run(root, "verify-etcd", *LAB).record.outcome == "unhealthy"
    planned = papermill.run(root, "deploy-azure", *LAB)
    assert "2 to create" in planned.shown, "the machine, and the interface that went with it"
    again = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", _digest(planned.shown))
    assert again.record.outcome == "succeeded", again.shown[-2000:]
    verified = papermill.run(root, "verify-etcd", *LAB)
    assert verified.record.outcome == "succeeded", verified.shown[-2000:]


def _cloud(root: Path, monkeypatch: pytest.MonkeyPatch) -> client.Cloud:
    """Somebody else's client, as of the portal; its login is the lab's for the rest of the test."""
    endpoints = lab.status(root, NETWORK).endpoints
    account = parameters.load((root / "parameters" / "lab.yaml").read_text(), "lab.yaml").fleet.azure
    assert endpoints is not None
    assert account is not None
    monkeypatch.setenv("IDENTITY_ENDPOINT", endpoints.identity)
    monkeypatch.setenv("IDENTITY_HEADER", endpoints.identity_header)
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    credential = client.credential_of("managed-identity")
    return client.connect(account, endpoint=endpoints.arm, verify=endpoints.ca, credential=credential)


def test_with_example_values_nobody_is_logged_in_or_asked(root: Path) -> None:
    """The login would go to somebody else's tenant: each value is named, and no identity is looked for."""
    run = papermill.run(root, "deploy-azure", "-f", "parameters/prd.yaml")
    assert run.record.outcome == "refused"
    for path in ("ssh_keys[0]", "azure.tenant", "azure.subscription", "clusters[0].ssh_from", "clusters[1].ssh_from"):
        assert f"parameters/fleet.{path}" in run.shown
    assert "login" not in run.shown
    assert "dedicated" not in run.shown


@pytest.mark.faults  # long, and each part has tests of its own
def test_what_azure_would_refuse_blocks_the_plan_all_at_once(root: Path) -> None:
    """Nothing was made when it is found out, and nothing can be approved until it is well."""
    endpoints = lab.status(root, NETWORK).endpoints
    account = parameters.load((root / "parameters" / "lab.yaml").read_text(), "lab.yaml").fleet.azure
    assert endpoints is not None
    assert account is not None
    quotas, providers = {"westeurope/cores": 3, "northeurope/cores": 5}, {"Microsoft.Network": "NotRegistered"}
    lab.account(endpoints, account.subscription, quotas=quotas, providers=providers)
    blocked = papermill.run(root, "deploy-azure", *LAB)
    assert blocked.record.outcome == "refused"
    assert "2 blocked, 22 to create" in blocked.shown, "the provider, and the cores in westeurope"
    assert "az provider register --wait --namespace Microsoft.Network" in blocked.shown
    lab.account(endpoints, account.subscription, quotas=quotas)
    short = papermill.run(root, "deploy-azure", *LAB)
    assert "4 more of Total Regional vCPUs are needed in westeurope, and 3 of 3 are left" in short.shown
    assert "Total Regional vCPUs in northeurope" not in short.shown, "4 of 5 is no more than 80 %"
    lab.account(endpoints, account.subscription)
    well = papermill.run(root, "deploy-azure", *LAB)
    assert well.record.outcome == "awaiting approval"
    assert "Preflight: 10 checks passed" in well.shown
    plan = json.loads((Path(well.record.path) / "plan.json").read_text())
    assert (plan["checked"].startswith("Preflight: 10"), plan["warnings"]) == (True, [])


@pytest.mark.faults
def test_the_profile_as_written_starts_no_etcd_and_verify_says_so(root: Path) -> None:
    file = root / "parameters" / "lab.yaml"
    file.write_text(file.read_text().replace("  overlay:", "  profile: as-written\n  overlay:"))
    refused = papermill.run(root, "deploy-azure", *LAB)
    assert refused.record.outcome == "failed"
    assert "etcd2 is no longer shipped: this section does nothing" in refused.shown
    three = ("auto_compaction:", "quota_mb:", "metrics_port:")
    lines = [line for line in file.read_text().splitlines() if not line.strip().startswith(three)]
    file.write_text("\n".join(lines).replace("distribution: flatcar", "distribution: coreos") + "\n")
    digest = _digest(papermill.run(root, "deploy-azure", *LAB).shown)
    assert papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest).record.outcome == "succeeded"
    assert {host.state for host in _hosts(root).values()} == {"no etcd"}
    assert "neither enabled nor started" in _hosts(root)["azure-lab-01"].reason
    verified = papermill.run(root, "verify-etcd", *LAB)
    assert verified.record.outcome == "unhealthy"
    assert "etcd is not running on any host" in verified.shown
    assert "its host told nothing of etcd (not let in" in verified.shown, "that user-data has no key in it"


@pytest.mark.faults
def test_an_altered_peer_address_is_caught_by_reality(root: Path) -> None:
    # A bug of the renderer's, as it were: what reaches the hosts says .9 where the fleet says .3.
    (root / "sitecustomize.py").write_text(BUG)
    environment = {"PYTHONPATH": python_path(root)}
    digest = _digest(papermill.run(root, "deploy-azure", *LAB, environment=environment).shown)
    done = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest, environment=environment)
    assert done.record.outcome == "succeeded"
    verified = papermill.run(root, "verify-etcd", *LAB)
    assert verified.record.outcome == "unhealthy"
    assert "its list has azure-lab-03 at http://127.0.8.9:2380 instead of http://127.0.8.3:2380" in verified.shown


BUG = """
import sys
import corelib.userdata
render = sys.modules["corelib.userdata.render"]
write = render.write

def wrong(document):
    text, root = write(document)
    return text.replace("azure-lab-03=http://127.0.8.3:2380", "azure-lab-03=http://127.0.8.9:2380"), root

render.write = wrong
"""
