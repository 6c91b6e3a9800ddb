"""Real clusters, healthy and broken: the verdict, the member it names, the margin, and the time it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from corelib.etcd.canary import RESERVED, Canaries, base64_of
from corelib.etcd.client import Connection
from corelib.etcd.judge import Verdict, judge
from corelib.etcd.probe import AFTER_SETTLING
from corelib.etcd.settling import ELECTIONS
from corelib.member import Member

from . import fakes
from .clusters import ELECTION_MS, TOKEN, Running, intended, look, verify

PATIENCE = {"patience_s": 1.0}
PROMISED_S = ELECTIONS * ELECTION_MS / 1000 + AFTER_SETTLING * PATIENCE["patience_s"]  # what `probe` says of itself


def states(verdict: Verdict, check: str) -> dict[str, str]:
    return {row.member: row.state for row in verdict.rows if row.check == check}


def test_a_healthy_cluster_never_raises_a_false_alarm(cluster: Running) -> None:
    for _ in range(20):
        verdict = verify(cluster.members)
        assert verdict.healthy, verdict
        assert verdict.findings.ok
    assert verdict.margin == "4 voters, quorum 3: one more loss tolerated"
    assert "is the rendered one" in verdict.sentence
    assert {row.state for row in verdict.rows} == {"passed"}
    assert any("3.5.1 can corrupt" in finding.message for finding in verdict.findings) == ("3.5.1" in str(verdict.rows))


def test_the_canary_leaves_nothing(cluster: Running) -> None:
    before = cluster.call("/v3/lease/leases", {}).get("leases", [])
    verify(cluster.members)
    everything = {"key": base64_of(RESERVED), "range_end": base64_of(RESERVED[:-1] + "0"), "count_only": True}
    assert "count" not in cluster.call("/v3/kv/range", everything)
    assert cluster.call("/v3/lease/leases", {}).get("leases", []) == before


def test_an_interrupted_canary_is_removed(cluster: Running) -> None:
    """Ctrl-C between writing and reading back: the lease is revoked on the way out."""
    lines = {member.name: Connection(str(member.address), 2379) for member in cluster.members}
    written: list[str] = []

    def each(members: Iterable[Member], act: Callable[[Member], Any]) -> dict[str, Any]:
        if written:
            raise KeyboardInterrupt
        written.extend(member.name for member in members)
        return {member.name: act(member) for member in members}

    canaries = Canaries(lines, "interrupted", lambda: time.monotonic() + 3)
    with pytest.raises(KeyboardInterrupt):
        canaries.sing(cluster.members, each)
    for line in lines.values():
        line.close()
    assert len(written) == 4
    assert "leases" not in cluster.call("/v3/lease/leases", {})


def test_verifications_at_the_same_time_do_not_disturb_each_other(cluster: Running) -> None:
    with ThreadPoolExecutor(3) as pool:
        verdicts = list(pool.map(lambda _: verify(cluster.members), range(6)))
    assert [verdict.sentence for verdict in verdicts if not verdict.healthy] == []


def test_a_busy_cluster_is_no_corrupt_one(cluster: Running) -> None:
    """HashKV is compared at one revision, while others write and compact."""
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            put = cluster.call("/v3/kv/put", {"key": base64_of("busy"), "value": base64_of("x")})
            if (revision := int(put["header"]["revision"])) % 50 == 0:
                cluster.call("/v3/kv/compaction", {"revision": revision - 10})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        verdicts = [verify(cluster.members) for _ in range(8)]
    finally:
        ended.set()
        writer.join(10)
    assert [verdict.sentence for verdict in verdicts if not verdict.healthy] == []


def test_without_a_canary_nothing_is_written(cluster: Running) -> None:
    before = cluster.call("/v3/kv/range", {"key": base64_of("x")})["header"]["revision"]
    verdict = verify(cluster.members, canary=False)
    assert cluster.call("/v3/kv/range", {"key": base64_of("x")})["header"]["revision"] == before
    assert (verdict.healthy, "no write was tried" in verdict.sentence) == (True, True)


def test_a_killed_follower_is_named(cluster: Running) -> None:
    victim = cluster.followers()[0]
    cluster.kill(victim)
    verdict = verify(cluster.members)
    assert verdict.sentence.startswith(
        f"{victim.name} refuses connections on {victim.address}:2379 (etcd is not running)"
    )
    assert (verdict.healthy, verdict.margin) == (False, "3 of 4: no further loss tolerated")
    assert states(verdict, "client port") == {m.name: "failed" if m == victim else "passed" for m in cluster.members}
    assert states(verdict, "canary")[victim.name] == "not checked"
    assert states(verdict, "canary removed") == {"cluster": "passed"}


def test_a_killed_leader_is_named_and_an_election_waited_for(cluster: Running) -> None:
    victim = cluster.leader()
    cluster.kill(victim)
    verdict = verify(cluster.members, **PATIENCE)
    assert verdict.sentence.startswith(f"{victim.name} refuses connections")
    assert not verdict.healthy


def test_a_stopped_member_hangs_and_is_not_down(cluster: Running) -> None:
    victim = cluster.followers()[1]
    cluster.stop(victim)
    begun = time.monotonic()
    verdict = verify(cluster.members, **PATIENCE)
    assert time.monotonic() - begun < PROMISED_S
    assert verdict.sentence.startswith(
        f"{victim.name} accepts connections on {victim.address}:2379 and answers nothing"
    )
    assert "hung, not down" in verdict.sentence
    assert verdict.margin == "3 of 4: no further loss tolerated"


def test_two_killed_lose_the_quorum(cluster: Running) -> None:
    first, second = cluster.members[1:3]
    cluster.kill(first)
    cluster.kill(second)
    begun = time.monotonic()
    verdict = verify(cluster.members, **PATIENCE)
    assert time.monotonic() - begun < PROMISED_S
    lost = f"quorum lost: 2 of 4, needs 3: restart {first.name} or {second.name}; do not wipe"
    assert (verdict.healthy, verdict.margin) == (False, lost)
    assert verdict.sentence.endswith(lost)
    assert set(states(verdict, "canary").values()) == {"not checked"}
    assert "passed" not in states(verdict, "reads").values()


def test_none_answering_is_said_as_such(cluster: Running) -> None:
    for member in cluster.members:
        cluster.kill(member)
    verdict = verify(cluster.members)
    assert verdict.sentence.startswith("no member answers: etcd is not running on any host; was it started?")
    assert not {row.state for row in verdict.rows} & {"passed"}


def test_a_loopback_client_url_is_seen(cluster: Running) -> None:
    victim = cluster.members[3]
    cluster.kill(victim)
    cluster.start(victim, advertise_client_urls="http://127.0.0.1:2379")
    wait_until_listed(cluster, victim, "http://127.0.0.1:2379")
    verdict = verify(cluster.members)
    assert (
        f"{victim.name} advertises http://127.0.0.1:2379 to clients instead of {victim.client_url}" in verdict.sentence
    )
    assert states(verdict, "canary") == {m.name: "passed" for m in cluster.members}
    assert not verdict.healthy
    cluster.kill(victim)


def wait_until_listed(cluster: Running, member: Member, url: str) -> None:
    for _ in range(100):
        views = [s.listing.value for s in look(cluster.members, canary=False).members]
        if all(view and any(e.name == member.name and e.client_urls == (url,) for e in view.members) for view in views):
            return
        time.sleep(0.1)
    raise AssertionError(f"{member.name} does not publish {url}")


@pytest.mark.parametrize("learner", [False, True])
def test_a_member_added_and_not_started_is_unplanned(cluster: Running, learner: bool) -> None:
    added = cluster.call("/v3/cluster/member/add", {"peerURLs": ["http://127.0.14.9:2380"], "isLearner": learner})
    try:
        verdict = verify(cluster.members)
    finally:
        cluster.call("/v3/cluster/member/remove", {"ID": added["member"]["ID"]})
    number = f"{int(added['member']['ID']):x}"
    kind = "learner" if learner else "voter"
    assert f"an unplanned {kind} that was added and not started is in the member list: {number}" in verdict.sentence
    assert "http://127.0.14.9:2380" in verdict.sentence
    expected = "4 voters, quorum 3: one more loss tolerated" if learner else "4 of 5: one more loss tolerated"
    assert (verdict.healthy, verdict.margin) == (False, expected)


def test_an_alarm_names_its_member(cluster: Running) -> None:
    member = cluster.members[2]
    status = look(cluster.members).members[2].status.value
    assert status is not None
    alarm = {"memberID": str(status.member), "alarm": "NOSPACE"}
    cluster.call("/v3/maintenance/alarm", {"action": "ACTIVATE", **alarm})
    try:
        verdict = verify(cluster.members)
    finally:
        cluster.call("/v3/maintenance/alarm", {"action": "DEACTIVATE", **alarm})
    assert verdict.sentence.startswith(f"{member.name} has raised the alarm NOSPACE")
    assert states(verdict, "alarms") == {m.name: "failed" if m == member else "passed" for m in cluster.members}
    assert "database space exceeded" in str([row.found for row in verdict.rows if row.check == "canary"])


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (fakes.page("200 OK", "text/html", b"It works!"), "has something that is not etcd on"),
        (fakes.sink, "hung, not down"),
        (fakes.trickle, "has something that is not etcd on"),
        (fakes.flood, "longer than 1 MiB"),
    ],
)
def test_something_else_in_place_of_a_member(cluster: Running, talk: fakes.Talk, words: str) -> None:
    victim = cluster.members[0]
    cluster.kill(victim)
    address = str(victim.address)
    begun = time.monotonic()
    with fakes.listener(address, 2379, talk), fakes.listener(address, 2380, talk):
        verdict = verify(cluster.members, **PATIENCE)
        assert time.monotonic() - begun < PROMISED_S
    assert verdict.sentence.startswith(victim.name)
    assert words in verdict.sentence
    assert not verdict.healthy


@pytest.fixture(scope="module")
def wrong_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    flags = {"azure-lab-04": {"initial-cluster-token": "another"}}
    yield from formed(Running(tmp_path_factory.mktemp("token"), first=11, flags=flags))


@pytest.fixture(scope="module")
def wrong_list(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    listed = "azure-lab-01=http://127.0.14.21:2380,azure-lab-02=http://127.0.14.99:2380,"
    listed += "azure-lab-03=http://127.0.14.23:2380,azure-lab-04=http://127.0.14.24:2380"
    flags = {"azure-lab-03": {"initial-cluster": listed}}
    yield from formed(Running(tmp_path_factory.mktemp("list"), first=21, flags=flags))


def formed(running: Running) -> Iterator[Running]:
    """A cluster of which three members have found each other."""
    try:
        for _ in range(100):
            samples = look(running.members, patience_s=0.5, canary=False).members
            if sum(sample.linearizable.value is not None for sample in samples) == 3:
                break
        yield running
    finally:
        running.end()


def test_a_member_with_another_token_is_named(wrong_token: Running) -> None:
    verdict = verify(wrong_token.members, **PATIENCE)
    assert verdict.sentence.startswith("azure-lab-04 belongs to cluster ")
    assert "so its token differs" in verdict.sentence
    assert verdict.margin == "3 of 4: no further loss tolerated"
    assert states(verdict, "identity")["azure-lab-04"] == "failed"


def test_a_wrong_address_in_a_bootstrap_list_is_named(wrong_list: Running) -> None:
    verdict = verify(wrong_list.members, **PATIENCE)
    assert verdict.sentence.startswith("azure-lab-03 belongs to cluster ")
    expected = "its list has azure-lab-02 at http://127.0.14.99:2380 instead of http://127.0.14.22:2380"
    assert expected in verdict.sentence
    assert not verdict.healthy


def test_a_healthy_cluster_of_other_parameters_is_not_ours(cluster: Running) -> None:
    """The same hosts with another token in the parameters: every member is well, and it is not the rendered one."""
    verdict = judge(intended(cluster.members, TOKEN + "-2"), look(cluster.members, canary=False))
    names = "azure-lab-01, azure-lab-02, azure-lab-03 and azure-lab-04"
    assert verdict.sentence.startswith(f"each of {names} belongs to cluster ")
    assert "wipe nothing" in verdict.sentence
    assert "empty data directory" not in str(verdict.findings)


def test_swapped_addresses_are_seen(cluster: Running) -> None:
    """Two hosts that answer at each other's address: every id is right, and none is where it was rendered."""
    one, two, *rest = cluster.members
    swapped = (Member(one.name, two.address), Member(two.name, one.address), *rest)
    verdict = verify(swapped, canary=False)
    assert not verdict.healthy
    assert one.name in verdict.sentence


def test_the_deadline_bounds_everything(cluster: Running) -> None:
    for member in cluster.members[1:]:
        cluster.stop(member)
    begun = time.monotonic()
    verdict = verify(cluster.members, deadline_s=1.5, **PATIENCE)
    assert time.monotonic() - begun < 1.5 + 2, "two seconds for a machine that is busy; without a deadline: 13"
    assert not verdict.healthy


def test_no_members_are_not_healthy() -> None:
    assert not verify(()).healthy
