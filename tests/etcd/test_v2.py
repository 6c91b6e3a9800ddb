"""etcd 2.x: its v2 interface on real clusters that offer it still, and the shapes that only 2.x gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from corelib.etcd import answers
from corelib.etcd.canary import Canaries as Third
from corelib.etcd.case import CLUSTER, Check
from corelib.etcd.client import Connection
from corelib.etcd.commands import see
from corelib.etcd.credentials import Credentials
from corelib.etcd.judge import Intended, Verdict, judge
from corelib.member import Member

from . import fakes
from .clusters import Running, intended, look, verify

LACKING = {"alarms", "data", "round trip", "disk", "log"}
FOUR = tuple(Member(f"azure-lab-0{n + 1}", IPv4Address(f"127.0.33.{n + 1}")) for n in range(4))


def states(verdict: Verdict) -> dict[str, set[str]]:
    return {row.check: {other.state for other in verdict.rows if other.check == row.check} for row in verdict.rows}


@pytest.fixture(scope="module")
def formed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("v2"), members=FOUR, every={"enable-v2": "true"})
    try:
        running.wait()
        yield running
    finally:
        running.end()


@pytest.fixture
def old(formed: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """That cluster, well again, telling of itself what an etcd 2.3.8 tells."""
    formed.heal()
    monkeypatch.setattr(answers, "version", lambda _body, _headers: "2.3.8")

    def never(*_: Any) -> None:
        raise AssertionError("etcd 2.x has no v3 interface")

    monkeypatch.setattr(Third, "sing", never)
    monkeypatch.setattr(Connection, "post", never)
    return formed


def call(method: str, path: str, body: str = "", kind: str = "application/x-www-form-urlencoded") -> dict[str, Any]:
    request = urllib.request.Request(f"{FOUR[0].client_url}{path}", body.encode() or None, method=method)  # noqa: S310
    request.add_header("Content-Type", kind)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            return dict(json.loads(answer.read() or b"{}"))
    except urllib.error.HTTPError as error:
        return dict(json.loads(error.read()))


def test_all_that_2x_can_tell_is_well_and_the_rest_is_not_checked(old: Running) -> None:
    verdict = verify(old.members)
    leader = verdict.leader
    assert verdict.kind == "unproven"
    assert verdict.sentence == (
        f"nothing is wrong with what etcd 2.3.8 can tell: cluster {identity(old)} is the rendered one, {leader} "
        "leads, all 4 members read and write; not checked, for it tells nothing of them: alarms, data, round trip, disk "
        "and log; 4 voters, quorum 3: one more loss tolerated; look after the disks and clocks of the hosts by hand"
    )
    assert {check for check, found in states(verdict).items() if found == {"not checked"}} == LACKING
    assert {check for check, found in states(verdict).items() if found == {"passed"}} == set(states(verdict)) - LACKING
    assert not verdict.findings.errors
    assert "gets no fixes any more" in str(verdict.findings)
    assert all("etcd 2.x has no" in row.found for row in verdict.rows if row.check in LACKING)


def identity(cluster: Running) -> str:
    view = look(cluster.members, canary=False).members[0].peer.value
    assert view is not None
    return f"{view.cluster:x}"


def test_the_canary_of_2x_leaves_nothing(old: Running) -> None:
    verify(old.members)
    assert call("GET", "/v2/keys/_runbooks?recursive=true")["errorCode"] == 100  # nothing there, no directory either


def test_a_place_that_is_in_use_is_kept(old: Running) -> None:
    call("PUT", "/v2/keys/_runbooks/canary/another/azure-lab-01", "value=1")
    try:
        assert verify(old.members).kind == "unproven"
        assert call("GET", "/v2/keys/_runbooks/canary/another/azure-lab-01")["node"]["value"] == "1"
    finally:
        call("DELETE", "/v2/keys/_runbooks?recursive=true")


def test_without_a_canary_nothing_is_written_to_2x(old: Running) -> None:
    before = call("PUT", "/v2/keys/before", "value=1")["node"]["modifiedIndex"]
    assert "no write was tried" in verify(old.members, canary=False).sentence
    assert call("PUT", "/v2/keys/before", "value=1")["node"]["modifiedIndex"] == before + 1


def test_a_killed_follower_of_2x_is_named(old: Running) -> None:
    leader = verify(old.members, canary=False).leader
    victim = next(member for member in old.members if member.name != leader)
    old.kill(victim)
    verdict = verify(old.members)
    assert verdict.sentence.startswith(f"{victim.name} refuses connections on {victim.address}:2379")
    assert (verdict.kind, verdict.margin) == ("unhealthy", "3 of 4: no further loss tolerated")


def test_without_a_quorum_2x_reads_nothing_through_a_leader(old: Running) -> None:
    first, second = old.members[1:3]
    old.kill(first)
    old.kill(second)
    begun = time.monotonic()
    verdict = verify(old.members, patience_s=1.0)
    assert time.monotonic() - begun < 10
    assert verdict.margin == f"quorum lost: 2 of 4, needs 3: restart {first.name} or {second.name}; do not wipe"
    assert "passed" not in states(verdict)["reads"]
    assert states(verdict)["canary"] == {"not checked"}


def test_a_token_of_2x_is_proven_too(old: Running) -> None:
    verdict = judge(intended(old.members, "another"), look(old.members, canary=False))
    assert "belongs to cluster" in verdict.sentence
    assert "its token differs" in verdict.sentence


@pytest.fixture
def guarded(old: Running) -> Iterator[Running]:
    """With authentication on, and nothing for guests."""
    json_ = "application/json"
    call("PUT", "/v2/auth/users/root", '{"user":"root","password":"open sesame"}', json_)
    call("PUT", "/v2/auth/enable")
    basic = Credentials("root", "open sesame").basic
    guest = urllib.request.Request(f"{FOUR[0].client_url}/v2/auth/roles/guest", method="DELETE")  # noqa: S310
    guest.add_header("Authorization", basic)
    urllib.request.urlopen(guest, timeout=5).close()  # noqa: S310 - loopback
    try:
        yield old
    finally:
        off = urllib.request.Request(f"{FOUR[0].client_url}/v2/auth/enable", method="DELETE")  # noqa: S310
        off.add_header("Authorization", basic)
        urllib.request.urlopen(off, timeout=5).close()  # noqa: S310 - loopback


@pytest.mark.parametrize("given", [None, Credentials("root", "wrong-password")])
def test_2x_lets_nobody_in_and_is_not_called_ill(guarded: Running, given: Credentials | None) -> None:
    samples = look(guarded.members, credentials=given)
    verdict = judge(intended(guarded.members), samples)
    assert verdict.kind == "unproven"
    assert verdict.sentence.startswith(
        "not proven healthy: each of azure-lab-01, azure-lab-02, azure-lab-03 and azure-lab-04 "
        "asks for credentials, and has none that it accepts for this"
    ), verdict.sentence
    assert states(verdict)["reads"] == {"not checked"}
    assert not verdict.findings.errors
    assert "wrong-password" not in repr((samples, verdict, given))


def test_2x_with_the_right_password_is_asked_everything(guarded: Running) -> None:
    verdict = verify(guarded.members, credentials=Credentials("root", "open sesame"))
    assert verdict.sentence.startswith("nothing is wrong with what etcd 2.3.8 can tell"), verdict.sentence
    assert {check for check, found in states(verdict).items() if found == {"not checked"}} == LACKING


@pytest.mark.parametrize(
    "body",
    [
        b"etcd 2.0.13",
        b"etcd 2.0.13\n",
        b'{"releaseVersion":"2.0.13","internalVersion":"2"}',
        b'{"etcdserver":"2.0.13"}',
    ],
)
def test_every_form_in_which_2x_tells_its_version_is_read(body: bytes) -> None:
    with fakes.listener("127.0.34.1", 2379, fakes.page("200 OK", "text/plain; charset=utf-8", body)):
        line = Connection("127.0.34.1", 2379)
        reply = line.version(time.monotonic() + 2)
        line.close()
    assert (reply.outcome, reply.value) == ("answered", "2.0.13")


# As a follower of etcd 2.3 answers (etcd 2.3's Documentation/api.md, members_api.md).
SHAPES = {
    "/version": '{"etcdserver":"2.3.8","etcdcluster":"2.3.0"}',
    "/health": '{"health": "true"}',
    "/v2/members": '{"members":[{"id":"272e204152","name":"infra1","peerURLs":["http://10.0.0.10:2380"],"clientURLs":["http://10.0.0.10:2379"]}]}',
    "/v2/stats/self": '{"name":"infra1","id":"272e204152","state":"StateFollower","startTime":"2016-04-01T12:00:00Z","leaderInfo":{"leader":"272e204152","uptime":"1h0m0s","startTime":"2016-04-01T12:00:00Z"},"recvAppendRequestCnt":1,"sendAppendRequestCnt":0}',
    "/v2/keys/_runbooks": '{"errorCode":100,"message":"Key not found","cause":"/_runbooks","index":8}',
}


def recorded(spoilt: dict[str, str]) -> fakes.Talk:
    """A member that answers as it was recorded; what nobody asks a follower is an error of the test's."""

    def talk(connection: Any) -> None:
        while request := connection.recv(65536):
            path = request.split(b" ", 2)[1].decode().split("?")[0]
            body = {**SHAPES, **spoilt}[path]
            status = "404 Not Found" if "errorCode" in body else "503 Down" if '"false"' in body else "200 OK"
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Etcd-Cluster-Id: 1403ff3d734b76c1\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    return talk


def ask(spoilt: dict[str, str]) -> Any:
    member = Member("infra1", IPv4Address("127.0.34.2"))
    with fakes.listener("127.0.34.2", 2379, recorded(spoilt)):
        return look((member,), canary=False, patience_s=1.0).members[0]


def test_the_recorded_shapes_are_understood() -> None:
    sample = ask({})
    assert (sample.listing.value.cluster, sample.listing.value.member) == (0x1403FF3D734B76C1, 0x272E204152)
    assert [(entry.name, entry.peer_urls) for entry in sample.listing.value.members] == [
        ("infra1", ("http://10.0.0.10:2380",))
    ]
    assert (sample.status.value.leader, sample.status.value.version) == (0x272E204152, "2.3.8")
    assert (sample.linearizable.outcome, sample.local.outcome) == ("answered", "not asked")
    assert {sample.alarms.outcome, sample.hash.outcome, sample.metrics.outcome, sample.after.outcome} == {"lacks"}


@pytest.mark.parametrize(
    ("spoilt", "field", "outcome"),
    [
        ({"/v2/members": "{}"}, "listing", "not etcd"),
        ({"/v2/members": '{"members":[{"id":"zz"}]}'}, "listing", "not etcd"),
        ({"/v2/stats/self": "[]"}, "status", "not etcd"),
        ({"/v2/stats/self": SHAPES["/v2/stats/self"].replace('"leader":"272e204152"', '"leader":""')}, "status", "answered"),
        ({"/v2/stats/self": SHAPES["/v2/stats/self"].replace("Follower", "Leader"), "/v2/stats/leader": '{"leader":"1","followers":{}}'}, "status", "failed"),
        ({"/health": '{"health": "false"}'}, "linearizable", "failed"),
        ({"/v2/keys/_runbooks": '{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: request timed out"}'}, "linearizable", "failed"),
        ({"/v2/keys/_runbooks": "{}"}, "linearizable", "not etcd"),
    ],
)  # fmt: skip
def test_what_is_not_2x_shape_or_not_well_is_no_answer(spoilt: dict[str, str], field: str, outcome: str) -> None:
    reply = getattr(ask(spoilt), field)
    assert reply.outcome == outcome
    if field == "status" and outcome == "answered":
        assert reply.value.leader == 0


def test_a_mixed_look_says_of_each_what_it_is(old: Running) -> None:
    """Nothing of one generation is put to a member of the other."""
    samples = look(old.members, canary=False)
    changed = samples._replace(
        members=(
            samples.members[0]._replace(version=samples.members[0].version._replace(value="3.5.16")),
            *samples.members[1:],
        ),
    )
    assert "the versions differ" in str(judge(intended(old.members), changed).findings)


def typed(verdict: Verdict, cluster: Running) -> dict[str, str]:
    """What is shown for each check of one member."""
    name = cluster.members[1].name
    rows = [row for row in verdict.rows if row.member in (name, CLUSTER)]
    return {row.check: see(row, cluster.intended(), verdict.old) for row in rows}


def test_what_is_shown_for_2x_is_understood_by_its_tools(old: Running) -> None:
    """Typed in a shell, with the etcdctl of etcd 3.5, which has all that of etcd 2.3 in it."""
    verdict = verify(old.members)
    assert verdict.old == {member.name for member in old.members}
    commands = typed(verdict, old)
    said = {check: shell(command) for check, command in commands.items() if command}
    assert f"name={old.members[1].name} peerURLs={old.members[1].peer_url}" in said["member list"]
    assert '"name":"azure-lab-02"' in said["leader"]
    assert '"action":"get"' in said["reads"]
    assert said["canary"].splitlines() == ["1", "PrevNode.Value: 1"]
    assert "Key not found" in said["canary removed"]
    assert {check for check in LACKING if commands.get(check)} == set(), "it has nothing of the kind"
    assert "member list" in commands
    assert not any(" -w table" in command or "--endpoints" in command for command in commands.values())


def shell(command: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert ended.returncode == 0, (command, ended.stderr)
    return ended.stdout


def test_2x_behind_tls_and_with_a_user_has_options_of_its_own() -> None:
    there = Intended(FOUR, FOUR, "t", certificates=("ca.pem", "me.pem", "key.pem"), user="verifier")
    row = Check(FOUR[0].name, "member list", "", "", "failed")
    options = "--ca-file=ca.pem --cert-file=me.pem --key-file=key.pem --username=verifier"
    assert see(row, there, {FOUR[0].name}) == (
        f"ETCDCTL_API=2 etcdctl {options} --no-sync --peers={FOUR[0].client_url} member list"
    )
    assert "--user=verifier" in see(row, there, {FOUR[1].name}), "each as it is"
    assert " -u verifier -s " in see(row._replace(check="leader"), there, {FOUR[0].name})
    on_host = there._replace(only_from_hosts=True, logins={FOUR[0].name: "ssh core@203.0.113.5"})
    assert see(row, on_host, {FOUR[0].name}).startswith('ssh core@203.0.113.5 "sudo etcdctl --ca-file=/etc/ssl/certs/')
    assert see(row._replace(check="alarms"), on_host, {FOUR[0].name}) == ""
