"""Golden cases: fleet and observation → step."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from corelib import parameters
from corelib.hetzner.facts import Installed, Observation, Pin, Server
from corelib.hetzner.loopback import is_loopback
from corelib.hetzner.plan import plan
from corelib.plan import Plan, examples
from tests.hetzner.rig import PARAMETERS, fleet, with_host

LAB = fleet()
USER_DATA = b"#cloud-config\n"
DIGEST = hashlib.sha256(USER_DATA).hexdigest()
WWN = "wwn-0x5000c500a1b2c3d4"
SERVER = Server(321, "ded-lab-01", "127.0.2.200", "EX44", "FSN1-DC14", "ready", cancelled=False)
PIN = Pin("127.0.2.200", 2222, "SHA256:pinned", WWN)
RUNNING = Installed("ded-lab-01", "flatcar", "4757.1.0", DIGEST)
ENDPOINT = "https://127.0.2.250:8445"


def make(observed: Observation | None, endpoint: str = ENDPOINT, **more: Any) -> Plan:
    observations = {"ded-lab-01": observed} if observed else {}
    return plan(more.pop("of", LAB), observations, {"ded-lab-01": USER_DATA}, "ab" * 32, "code", endpoint, **more)


def test_a_machine_that_was_never_installed_is_to_be_wiped() -> None:
    made = make(Observation(SERVER))
    (step,) = made.steps
    assert made.target == {"robot": ENDPOINT}
    assert (step.target, step.action, step.consent) == ("ded-lab-01/server/321", "create", f"wipe {WWN}")
    assert step.why == "never installed by this project"
    assert step.interrupts == f"ded-lab-01 is reset at once, and all data on {WWN} is lost"
    assert step.desired == {
        "server": 321,
        "address": "127.0.2.200",
        "ssh_port": 2222,
        "disk": WWN,
        "release": {"distribution": "flatcar", "channel": "beta", "version": "4757.1.0"},
        "user_data_sha256": DIGEST,
        "installer_sha256": "ab" * 32,
    }


@pytest.mark.parametrize(
    ("observed", "action", "why"),
    [
        (Observation(SERVER, PIN, RUNNING), "keep", "answers with its pinned host key"),
        (
            Observation(SERVER, PIN, Installed("ded-lab-01", "flatcar", "9999.9.9", DIGEST)),
            "keep",
            "flatcar 9999.9.9",  # its own updater's affair
        ),
        (
            Observation(SERVER, PIN, Installed("ded-lab-01", "flatcar", "1", "")),
            "replace",
            "user-data (SHA-256) differs",
        ),
        (Observation(SERVER, PIN, Installed("localhost", "flatcar", "1", DIGEST)), "replace", "host name differs"),
        (Observation(SERVER, PIN, Installed("ded-lab-01", "debian", "12", DIGEST)), "replace", "distribution differs"),
        (Observation(SERVER, PIN, silence="no route to host"), "replace", "no route to host"),
        (
            Observation(SERVER, PIN, silence="another", impostor="SHA256:other"),
            "blocked",
            "SHA256:other, pinned is SHA256:pinned",
        ),
        (Observation(None), "blocked", "Robot knows no server 321"),
        (None, "blocked", "Robot knows no server 321"),
    ],
)
def test_what_is_observed_decides(observed: Observation | None, action: str, why: str) -> None:
    (step,) = make(observed).steps
    assert step.action == action
    assert why in step.why
    assert step.consent == ("" if action in ("keep", "blocked") else f"wipe {WWN}")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"address": "127.0.2.201"}, "the address '127.0.2.201', expected '127.0.2.200'"),
        ({"name": "ded-lab-02"}, "the name 'ded-lab-02', expected 'ded-lab-01'"),
        ({"status": "in process"}, "the state 'in process', expected 'ready'"),
        ({"cancelled": True}, "the state 'cancelled'"),
    ],
)
def test_what_robot_says_otherwise_blocks(changes: dict[str, Any], why: str) -> None:
    server = Server(**{**{name: getattr(SERVER, name) for name in SERVER.__slots__}, **changes})
    (step,) = make(Observation(server)).steps
    assert step.action == "blocked"
    assert why in step.why


def test_another_disk_than_the_installed_one_is_a_replacement() -> None:
    other = with_host(LAB, disk="wwn-0x5000c500a1b2c3ff")
    (step,) = make(Observation(SERVER, PIN, RUNNING), of=other).steps
    assert (step.action, step.consent) == ("replace", "wipe wwn-0x5000c500a1b2c3ff")


@pytest.mark.parametrize(
    "endpoint", ["https://robot-ws.your-server.de", "https://127.0.0.1.example.org", "https://10.0.0.1"]
)
def test_every_endpoint_but_a_loopback_one_blocks_whatever_was_observed(endpoint: str) -> None:
    (step,) = make(Observation(SERVER, PIN, RUNNING), endpoint).steps
    assert step.action == "blocked"
    assert step.why.startswith("until its guards are complete")
    assert endpoint in step.why


def test_the_digest_covers_what_is_desired_and_nothing_observed() -> None:
    first = make(Observation(SERVER))
    assert first.digest == make(Observation(SERVER, silence="whatever")).digest
    assert first.digest != make(Observation(SERVER), of=with_host(LAB, disk="wwn-0x5000c500a1b2c3ff")).digest
    assert first.digest != make(Observation(SERVER), "https://127.0.2.251:8445").digest


def test_marked_examples_are_named_on_a_real_target() -> None:
    loaded = parameters.load((PARAMETERS / "prd.yaml").read_text(), "prd.yaml")
    marked = examples([(one.path, one.where) for one in loaded.examples], apart_from=("fleet.azure", "fleet.clusters"))
    made = plan(loaded.fleet, {}, {"ded-prd-01": USER_DATA}, "", "code", "https://robot-ws.your-server.de", marked)
    named = {step.target.removeprefix("parameters/fleet.") for step in made.blocked}
    assert {"dedicated[0].server", "dedicated[0].address", "dedicated[0].disk", "ssh_keys[0]"} <= named
    assert not any("azure" in name or "clusters" in name for name in named)
    assert not made.pending


@pytest.mark.parametrize("text", ["127.0.0.1", "127.255.0.1", "https://127.0.2.250:8445", "http://127.0.0.1/x"])
def test_loopback(text: str) -> None:
    assert is_loopback(text)


@pytest.mark.parametrize(
    "text", ["localhost", "", "128.0.0.1", "https://127.0.0.1@example.org", "https://[::1]/", "127.0.0.1.org"]
)
def test_not_loopback(text: str) -> None:
    assert not is_loopback(text)
