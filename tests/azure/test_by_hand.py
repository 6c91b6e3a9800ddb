"""What a person would type: one command after the other, in the plan's order, and nothing secret among them.

That Azure's CLI takes these words was tried with azure-cli 2.91.0: each of them gets as far as asking for a login.
"""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from corelib import userdata
from corelib.azure import desired
from corelib.azure import plan as planning
from corelib.azure.by_hand import commands
from corelib.azure.plan import Observed
from corelib.fleet import Fleet
from corelib.plan import Plan, Step

from .conftest import custom_data, fleet
from .test_plan import DESIRED, FLEET, plan, there


def typed(text: str) -> list[list[str]]:
    """Each command's words, as a shell reads them."""
    lines = text.replace("\\\n", "").splitlines()
    return [shlex.split(line) for line in lines if line and not line.startswith("#")]


def begun_with(text: str) -> list[str]:
    """Each command up to its first option."""
    return [" ".join(word for word in words[: words.index(_first(words))]) for words in typed(text)]


def _first(words: list[str]) -> str:
    return next(word for word in words if word.startswith("--"))


def option(words: list[str], name: str) -> list[str]:
    rest = words[words.index(name) + 1 :]
    return rest[: next((n for n, word in enumerate(rest) if word.startswith("--")), len(rest))]


def of(one: Fleet) -> Plan:
    known = {cluster.name: "192.0.2.1" for cluster in one.clusters}
    rendered = userdata.render(one, addresses=known)
    ready = {host.name: rendered[host.name].content for host in one.hosts}
    return planning.plan(one, desired.resources(one, ready, known), Observed({}), "c1", "https://arm")


def test_every_kind_has_its_words_in_the_order_of_the_plan() -> None:
    made = plan({})
    text = commands(made)
    assert [line for line in text.splitlines() if line.startswith("# create ")] == [
        f"# create {step.target}" for step in made.pending
    ]
    assert begun_with(text)[1:11] == [
        "az group create",
        "az network nsg create",
        "az network nsg rule create",
        "az network vnet create",
        "az network vnet subnet create",
        "az network public-ip create",
        "az rest",
        "az disk create",
        "az network nic create",
        "az vm create",
    ]


@pytest.mark.parametrize("name", ["lab", "prd"])
def test_a_machine_is_made_as_the_plan_says(name: str) -> None:
    one = fleet(name)
    machines = [words for words in typed(commands(of(one))) if words[:3] == ["az", "vm", "create"]]
    assert [option(words, "--name") for words in machines] == [[host.name] for host in one.hosts]
    for words, host in zip(machines, one.hosts, strict=True):
        cluster = one.cluster_of(host.name)
        assert option(words, "--size") == [cluster.size]
        assert option(words, "--security-type") == ["Standard"]
        assert option(words, "--data-disk-caching") == ["None"]
        (given,) = (tag.partition("=")[2] for tag in option(words, "--tags") if tag.startswith("runbooks-user-data="))
        assert option(words, "--custom-data") == [f"state/{name}/deployed/{given}.yaml"]
        assert option(words, "--ssh-key-values") == list(one.ssh_keys)
        assert f"runbooks-environment={name}" in option(words, "--tags")


def test_a_balancer_is_put_with_the_very_body_of_the_plan() -> None:
    made = plan({})
    (words, *_) = (words for words in typed(commands(made)) if words[1] == "rest")
    step = next(step for step in made.pending if step.desired["kind"] == "load-balancer")
    assert json.loads(option(words, "--body")[0]) == step.desired["body"]


def test_user_data_is_named_and_never_typed() -> None:
    secret = b"#cloud-config\nwrite_files: [{path: /x, content: swordfish}]\n"
    resources = desired.resources(FLEET, dict.fromkeys(custom_data(FLEET), secret))
    for bodies in ({}, {**there(resources), "azure-lab-a/machine/azure-lab-01": _failed(resources)}):
        text = commands(planning.plan(FLEET, resources, Observed(bodies), "c1", "https://arm"))
        assert len(typed(text)) > 1
        assert "swordfish" not in text
        assert base64.b64encode(secret).decode()[:24] not in text
        assert "customData" not in text


def _failed(resources: Any) -> Any:
    body = there(resources)["azure-lab-a/machine/azure-lab-01"]
    return {**body, "properties": {**body["properties"], "provisioningState": "Failed"}}


def test_tags_and_power_have_words_of_their_own_and_other_changes_put_the_whole() -> None:
    bodies = there()
    bodies["azure-lab-a/machine/azure-lab-01"]["tags"]["runbooks-owner"] = "somebody"
    bodies["azure-lab-a/security-group/azure-lab-a-nsg"]["properties"]["securityRules"] = []
    off = {"azure-lab-b/machine/azure-lab-03": "deallocated"}
    made = planning.plan(FLEET, DESIRED, Observed(bodies, off), "c1", "https://arm")
    assert begun_with(commands(made)) == ["az account set", "az rest", "az tag update", "az vm start"]


def test_what_goes_is_deleted_and_what_is_no_resource_is_said_to_be_that() -> None:
    machine = next(step for step in plan({}).pending if step.target.endswith("machine/azure-lab-01"))
    steps = (
        replace(machine, action="replace"),
        replace(machine, action="destroy"),
        Step("etcd/member/azure-lab-01", "change", "its member is removed first", "", desired={"member": "1"}),
    )
    text = commands(Plan("deploy-azure", "lab", {"subscription": "s"}, "c", steps))
    assert begun_with(text)[1:] == [
        *("az resource delete", "az vm create", "az vm boot-diagnostics enable"),
        "az resource delete",
    ]
    assert "# az has nothing for this: its member is removed first" in text


def test_without_zones_there_is_a_set() -> None:
    clusters = tuple(one.model_copy(update={"zones": ()}) for one in FLEET.clusters)
    text = commands(of(FLEET.model_copy(update={"clusters": clusters})))
    assert "az vm availability-set create" in begun_with(text)
    assert "--availability-set azure-lab-a-set" in text
    assert "--zone" not in text


def test_members_of_etcd_are_changed_with_etcdctl() -> None:
    steps = (
        Step("etcd/snapshot/x", "create", "", "", desired={"kind": "snapshot", "name": "x"}),
        Step("etcd/member/x@a", "destroy", "", "", desired={"kind": "leave", "name": "x", "id": "a"}),
        Step(
            "etcd/member/x", "create", "", "", desired={"kind": "join", "name": "x", "peer_url": "http://10.1.0.2:2380"}
        ),
    )
    said = commands(Plan("deploy-azure", "prd", {"subscription": "s"}, "c1", steps))
    assert "etcdctl snapshot save etcd.db" in said
    assert "etcdctl member remove a" in said
    assert "etcdctl member add x --learner --peer-urls=http://10.1.0.2:2380" in said


def _etcd(kind: str, name: str, **more: Any) -> Step:
    return Step(f"etcd/{kind}/{name}", "create", "", "", desired={"kind": kind, "name": name, **more})


def test_only_who_learns_is_promoted() -> None:
    """A machine that rests for a change is a member that votes already."""
    machine = next(step for step in plan({}).pending if step.target.endswith("machine/azure-lab-01"))
    steps = (
        replace(machine, action="change"),
        _etcd("ready", "azure-lab-01", peer_url="http://127.0.2.1:2380"),
        _etcd("ready", "azure-lab-02", peer_url="http://127.0.2.2:2380"),
    )
    said = commands(Plan("deploy-azure", "lab", {"subscription": "s"}, "c1", steps))
    first, second = said.split("# create etcd/ready/")[1:]
    assert first.splitlines()[1:] == ["etcdctl endpoint health --cluster", ""]
    promote, health = second.splitlines()[1:]
    assert health == "etcdctl endpoint health --cluster"
    members = (
        "1, started, azure-lab-01, http://127.0.2.1:2380, http://127.0.2.1:2379, false\n"
        "2a, started, azure-lab-02, http://127.0.2.2:2380, http://127.0.2.2:2379, true\n"
    )
    for listed, promoted in ((members, "member promote 2a\n"), (members.replace("true", "false"), "")):
        stand_in = f"etcdctl() {{ printf %s '{listed}'; }}; xargs() {{ sed 's/^/member promote /'; }}\n"
        done = subprocess.run(["sh", "-c", stand_in + promote], capture_output=True, text=True, check=True, timeout=10)
        assert done.stdout == promoted


def test_a_restore_is_typed_at_the_pinned_hosts_with_a_snapshot_that_was_opened() -> None:
    what = {
        "unit": "etcd-member.service",
        "data_dir": "/var/lib/etcd",
        "snapshot": "ab",
        "token": "t",
        "image": "e:v3.5",
    }
    more = {"initial_cluster": "azure-lab-01=http://127.0.2.1:2380", "peer_url": "http://127.0.2.1:2380"}
    steps = tuple(_etcd(kind, "azure-lab-01", **what, **more) for kind in ("aside", "restore", "start"))
    said = commands(Plan("deploy-azure", "lab", {"subscription": "s"}, "c1", steps), "state/lab/snapshots/x.db.age")
    words = typed(said)[1:]
    assert words[0] == [
        *["age", "--decrypt", "--identity", "YOUR-PRIVATE-KEY", "--output", "etcd.db", "state/lab/snapshots/x.db.age"]
    ]
    assert ["scp", "-F", "state/lab/ssh_config", "etcd.db", "azure-lab-01:"] in words
    there = [one for one in words[1:] if one[0] != "scp"]
    assert all(one[:4] == ["ssh", "-F", "state/lab/ssh_config", "azure-lab-01"] and len(one) == 5 for one in there)
    assert "sudo systemctl stop etcd-member.service" in [one[4] for one in there]
