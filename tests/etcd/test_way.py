"""Members asked through their own hosts: a real cluster behind real SSH servers, whole and broken in each part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import asyncssh
import pytest

from corelib.errors import BadInput
from corelib.etcd.client import Connection
from corelib.etcd.judge import Intended, Verdict, judge
from corelib.etcd.reach import Hosts, Login
from corelib.etcd.samples import Reply
from corelib.etcd.way import through
from corelib.ssh import KeyPair

from . import fakes
from .clusters import ELECTION_MS, Running, intended, look
from .doors import AT, Doors


@pytest.fixture(scope="module")
def all_doors(shared: Running) -> Iterator[Doors]:
    with Doors(shared) as doors:
        yield doors


@pytest.fixture
def doors(all_doors: Doors, cluster: Running) -> Iterator[Doors]:
    """The doors of the shared cluster, which is well; all of them are open again afterwards."""
    yield all_doors
    for member in cluster.members:
        all_doors.close(member)
        all_doors.open(member)


def meant(doors: Doors) -> Intended:
    return intended(doors.running.members)._replace(only_from_hosts=True, hosts=doors.on())


def verify(doors: Doors, logins: dict[str, Login] | None = None, timeout: float = 3.0, **how: Any) -> Verdict:
    members = doors.running.members
    with doors.hosts(logins, timeout) as hosts:
        samples = look(members, ways=hosts.ways(members), hosts=hosts.asks(doors.on()), **how)
    return judge(meant(doors), samples)


def states(verdict: Verdict, check: str) -> dict[str, str]:
    return {row.member: row.state for row in verdict.rows if row.check == check}


def test_a_healthy_cluster_is_healthy_through_its_hosts(doors: Doors) -> None:
    for _ in range(5):
        verdict = verify(doors)
        assert verdict.healthy, verdict
    assert set(states(verdict, "process").values()) == {"passed"}
    assert set(states(verdict, "space").values()) == {"passed"}
    assert verdict.margin == "4 voters, quorum 3: one more loss tolerated"


def test_one_connection_to_a_host_serves_all(doors: Doors) -> None:
    members = doors.running.members
    with doors.hosts() as hosts:
        look(members, ways=hosts.ways(members), hosts=hosts.asks(doors.on()))
        assert [doors.visitors(member) for member in members] == [1, 1, 1, 1]
    assert doors.asked


def test_a_killed_member_is_down_and_its_host_is_not(doors: Doors) -> None:
    victim = doors.running.members[1]
    doors.running.kill(victim)
    verdict = verify(doors)
    assert verdict.sentence.startswith(f"{victim.name} runs no etcd, etcd-member.service is inactive (dead)")
    assert verdict.margin == "3 of 4: no further loss tolerated"
    row = next(row for row in verdict.rows if (row.member, row.check) == (victim.name, "client port"))
    assert (row.state, row.found, row.problem) == ("failed", "refused: Connection refused", "")
    faults = [finding for finding in verdict.findings if finding.severity == "error"]
    assert [finding.where for finding in faults] == [victim.name], "one fault is one finding"


def test_a_host_that_is_gone_says_nothing_about_its_etcd(doors: Doors) -> None:
    """For real: its SSH server has ended, and etcd serves on."""
    lost = doors.running.members[2]
    doors.close(lost)
    verdict = verify(doors)
    assert (verdict.kind, states(verdict, "host")[lost.name]) == ("unproven", "not checked")
    begins = f"not proven healthy: {lost.name} cannot be reached by SSH (Connection refused), so its etcd was not asked"
    assert verdict.sentence.startswith(begins)
    assert "leave etcd as it is, and wipe nothing" in verdict.sentence
    assert verdict.margin == f"3 of 4 serve, {lost.name} could not be asked: no further loss tolerated for certain"
    assert states(verdict, "client port")[lost.name] == states(verdict, "peer port")[lost.name] == "not checked"
    assert not [row for row in verdict.rows if row.state == "failed"]


def test_a_host_that_is_gone_and_an_etcd_that_is_down_are_told_apart(doors: Doors) -> None:
    lost, down = doors.running.members[:2]
    doors.close(lost)
    doors.running.kill(down)
    verdict = verify(doors, patience_s=1.0)
    told = {finding.where: (finding.severity, finding.message) for finding in verdict.findings}
    assert told[lost.name][0] == "warning"
    assert told[lost.name][1].startswith(f"{lost.name} cannot be reached by SSH")
    assert told[down.name] == ("error", f"{down.name} runs no etcd, etcd-member.service is inactive (dead)")
    assert verdict.sentence.startswith(f"{down.name} runs no etcd")
    assert verdict.kind == "unhealthy"


def test_two_hosts_gone_is_no_quorum_lost(doors: Doors) -> None:
    """The other two read through a leader: whoever makes up the quorum with them is there."""
    for member in doors.running.members[:2]:
        doors.close(member)
    verdict = verify(doors)
    assert verdict.kind == "unproven"
    assert verdict.margin.startswith("a quorum serves; how much more may fail is unknown, as azure-lab-01 and")


def test_no_host_can_be_reached(doors: Doors) -> None:
    for member in doors.running.members:
        doors.close(member)
    begun = time.monotonic()
    verdict = verify(doors)
    assert time.monotonic() - begun < 2, "nobody waits for an election that nobody can see"
    assert verdict.kind == "unproven"
    assert verdict.sentence.startswith("not proven healthy: each of azure-lab-01, azure-lab-02, azure-lab-03 and azure")
    assert "wipe nothing" in verdict.sentence


def test_another_host_key_is_a_finding_with_both_and_nothing_is_sent(doors: Doors) -> None:
    """For real: the server was started anew, with another key."""
    victim = doors.running.members[3]
    logins, before = doors.logins(), doors.fingerprint(victim)
    doors.close(victim)
    doors.open(victim, key=asyncssh.generate_private_key("ssh-ed25519"))
    heard = len(doors.asked)
    with doors.hosts({victim.name: logins[victim.name]}) as hosts:
        (reply,) = (ask(0) for ask in hosts.asks(doors.on()).values())
        doors.left(victim)
    assert (reply.outcome, len(doors.asked)) == ("another host key", heard)
    verdict = verify(doors, logins)
    now = doors.fingerprint(victim)
    assert verdict.sentence.startswith(
        f"{victim.name} may not be itself: it answers with the host key {now}, pinned is {before}"
    )
    assert "do not accept the key, wipe nothing" in verdict.sentence
    assert (verdict.kind, states(verdict, "client port")[victim.name]) == ("unhealthy", "not checked")


def test_a_first_contact_is_learnt_and_held_to(doors: Doors) -> None:
    victim = doors.running.members[0]
    first = {victim.name: Login(AT, doors.port(victim))}
    with doors.hosts(first) as hosts:
        assert hosts.learnt == {victim.name: doors.fingerprint(victim)}
    with doors.hosts({victim.name: first[victim.name]._replace(pinned=hosts.learnt[victim.name])}) as again:
        assert again.learnt == {}
        assert again.asks({}) == {}


def test_whoever_does_not_let_us_in_is_not_learnt(doors: Doors) -> None:
    victim = doors.running.members[0]
    doors.close(victim)
    doors.open(victim, user="somebody")
    with doors.hosts({victim.name: Login(AT, doors.port(victim))}) as hosts:
        assert hosts.learnt == {}
    verdict = verify(doors)
    assert f"{victim.name} does not let us in by SSH (it does not let core in with the key SHA256:" in verdict.sentence
    assert "compare azure.login_key with the ssh_keys" in verdict.sentence


def test_a_host_that_hangs_delays_nobody(doors: Doors) -> None:
    hung, logins = doors.running.members[0], doors.logins()
    with fakes.listener(AT, 2300, fakes.sink):
        logins[hung.name] = Login(AT, 2300, logins[hung.name].pinned)
        begun = time.monotonic()
        verdict = verify(doors, logins, timeout=1.0)
        assert time.monotonic() - begun < 1.0 + 1.5, "one limit, and the others' pass"
    assert f"{hung.name} cannot be reached by SSH (no answer in time)" in verdict.sentence
    assert states(verdict, "reads") == {m.name: "passed" for m in doors.running.members if m != hung} | {
        hung.name: "not checked"
    }


def test_several_that_hang_cost_no_more_than_one(doors: Doors) -> None:
    logins = {
        member.name: Login(AT, 2300 + number, "SHA256:any") for number, member in enumerate(doors.running.members)
    }
    with fakes.listener(AT, 2300, fakes.sink), fakes.listener(AT, 2301, fakes.sink):
        with fakes.listener(AT, 2302, fakes.sink), fakes.listener(AT, 2303, fakes.sink):
            begun = time.monotonic()
            assert verify(doors, logins, timeout=1.0).kind == "unproven"
            assert time.monotonic() - begun < 1.0 + 1.0


def test_a_member_that_hangs_behind_its_host_is_mute(doors: Doors) -> None:
    victim = doors.running.followers()[0]
    doors.running.stop(victim)
    verdict = verify(doors, patience_s=1.0)
    assert verdict.sentence.startswith(
        f"{victim.name} accepts connections on {victim.address}:2379 and answers nothing"
    )
    assert states(verdict, "process")[victim.name] == "passed"


def test_a_host_that_forwards_nothing_is_no_dead_etcd(doors: Doors) -> None:
    victim = doors.running.members[1]
    doors.close(victim)
    doors.open(victim, forwards=False)
    verdict = verify(doors)
    assert "its SSH server forwards no connection" in verdict.sentence
    assert "not etcd" in verdict.sentence
    assert "leave etcd as it is" in verdict.sentence


@pytest.mark.parametrize(
    ("talk", "outcome", "words"),
    [
        (fakes.flood, "not etcd", "longer than 1 MiB"),
        (fakes.trickle, "not etcd", "does not end"),
        (fakes.sink, "mute", ""),
        (fakes.page("200 OK", "text/html", b"It works!"), "not etcd", "It works!"),
    ],
)
def test_deadline_and_budget_hold_through_a_host(doors: Doors, talk: fakes.Talk, outcome: str, words: str) -> None:
    member = doors.running.members[0]
    with doors.hosts() as hosts, fakes.listener(str(member.address), 2399, talk):
        line = Connection("x", 2399, hosts.ways([member])[member.name])
        begun = time.monotonic()
        reply: Reply[Any] = line.get("/", lambda body, _: body, begun + 1.0)
        assert time.monotonic() - begun < 1.5
        line.close()
    assert (reply.outcome, words in reply.detail) == (outcome, True)


def test_a_connection_lost_on_the_way_is_said_and_not_waited_for(doors: Doors) -> None:
    member = doors.running.members[0]
    with doors.hosts() as hosts:
        line = Connection(str(member.address), 2379, hosts.ways([member])[member.name])
        assert line.get("/version", lambda body, _: body, time.monotonic() + 3).outcome == "answered"
        doors.close(member)
        begun = time.monotonic()
        reply = line.get("/version", lambda body, _: body, begun + 3)
        assert time.monotonic() - begun < 1
        assert reply.outcome == "unreachable"
        line.close()


def test_a_big_answer_comes_whole(doors: Doors) -> None:
    member, body = doors.running.members[0], b'"' + b"x" * 900_000 + b'"'
    talk = fakes.page("200 OK", "application/json", body)
    with doors.hosts() as hosts, fakes.listener(str(member.address), 2398, talk):
        line = Connection("x", 2398, through(hosts._shells[member.name], str(member.address)))
        reply: Reply[Any] = line.get("/", lambda content, _: len(content), time.monotonic() + 5)
        line.close()
    assert (reply.outcome, reply.value) == ("answered", 900_000)


def test_it_takes_no_false_alarm_to_be_slow(doors: Doors) -> None:
    """Round trips through SSH are longer, and are compared with the heartbeat all the same."""
    verdict = verify(doors)
    assert max(verdict.trips.values()) < ELECTION_MS
    assert verdict.healthy


def test_a_damaged_key_is_refused_before_anybody_is_asked(doors: Doors) -> None:
    with pytest.raises(BadInput, match="reading the operator's SSH key"):
        Hosts(doors.logins(), "nonsense")


def test_a_stranger_is_not_let_in(doors: Doors) -> None:
    with Hosts(doors.logins(), KeyPair.new("other").private, 3.0) as hosts:
        assert {ask(0).outcome for ask in hosts.asks(doors.on()).values()} == {"not let in"}
