"""The judge: the sentences of the fault matrix, and properties over whatever may be sampled."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corelib.etcd import answers
from corelib.etcd.judge import Intended, Verdict, judge
from corelib.etcd.samples import (
    NOT_ASKED,
    Alarm,
    Canary,
    Hash,
    Listed,
    Metrics,
    Range,
    Reply,
    Sample,
    Samples,
    Status,
    Trace,
    View,
)
from corelib.member import Member

from .samples import (
    IDENTITY,
    LISTED,
    MEMBERS,
    TOKEN,
    answered,
    canary,
    everywhere,
    healthy,
    listing,
    spoilt,
    unpublished,
    without,
)

REFUSED: Reply[Any] = Reply("refused", detail="Connection refused")
MUTE: Reply[Any] = Reply("mute", seconds=3.0)
DOWN = {"peer": REFUSED, "version": REFUSED} | dict.fromkeys(
    ("listing", "status", "local", "linearizable", "alarms", "hash"), NOT_ASKED
)


INTENDED: dict[str, Any] = {
    "members": MEMBERS,
    "founders": MEMBERS,
    "token": TOKEN,
    "heartbeat_ms": 500,
    "election_ms": 2500,
}


def verdict(samples: Samples, **how: Any) -> Verdict:
    return judge(Intended(**{**INTENDED, **how}), samples)


def state(result: Verdict, member: str, check: str) -> str:
    return next(row.state for row in result.rows if (row.member, row.check) == (member, check))


def test_all_passed_is_healthy() -> None:
    result = verdict(healthy())
    assert result.healthy
    assert result.sentence == (
        "healthy: cluster 1403ff3d734b76c1 is the rendered one, azure-prd-03 leads, all 4 members read and write, "
        "their data agree; 4 voters, quorum 3: one more loss tolerated"
    )
    assert [finding.severity for finding in result.findings] == ["info"]  # the even number of voters


def test_the_checks_are_in_the_order_of_the_layers() -> None:
    order = dict.fromkeys(row.check for row in verdict(healthy()).rows)
    layers = "identity, client port, peer port, member list, leader, reads, alarms, canary, canary removed, data, "
    layers += "round trip, disk, log"
    assert ", ".join(order) == layers


def test_one_sentence_says_what_where_margin_and_remedy() -> None:
    assert verdict(spoilt(healthy(), 1, **DOWN)).sentence == (
        "azure-prd-02 refuses connections on 10.1.0.2:2379 (etcd is not running); 3 of 4: no further loss tolerated; "
        "read etcd's journal on azure-prd-02 and start etcd there; do not wipe its data"
    )


def test_what_comes_after_a_failure_is_not_checked() -> None:
    result = verdict(spoilt(healthy(), 1, **DOWN))
    for check in ("identity", "leader", "reads", "alarms", "data"):
        assert state(result, "azure-prd-02", check) == "not checked"
    assert [f.where for f in result.findings.errors] == ["azure-prd-02"]  # one fault is told once


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"version": Reply("unreachable", detail="No route to host"), "listing": NOT_ASKED},
            "the network to it, not etcd",
        ),
        ({"version": MUTE, "listing": NOT_ASKED}, "it has not joined its peers, or hangs"),
        ({"version": REFUSED, "listing": NOT_ASKED}, "etcd runs, but does not listen there"),
        ({"version": Reply("broken"), "listing": NOT_ASKED}, "closes connections"),
        ({"version": Reply("bad JSON", detail="{"), "listing": NOT_ASKED}, "not etcd on 10.1.0.1:2379 (bad JSON: {)"),
        ({"version": answered("3.3.27"), "listing": Reply("not etcd", detail="HTTP 404")}, "runs etcd 3.3.27"),
        ({"peer": Reply("unreachable", detail="timed out")}, "only the way from here to its peer port is blocked"),
        (
            {"peer": MUTE, "linearizable": MUTE},
            "azure-prd-01 answers clients, and nothing comes back from 10.1.0.1:2380: its peer path is blocked",
        ),
        ({"linearizable": MUTE}, "azure-prd-01 does not read through a leader: no answer in 3.0 s"),
        ({"linearizable": Reply("failed", detail="etcdserver: user name is empty")}, "asks for credentials"),
        (
            dict.fromkeys(("status", "after"), answered(Status(IDENTITY.cluster, LISTED[0].id, 0, 7, "3.5.16"))),
            "sees no leader, while others",
        ),
        ({"alarms": answered((Alarm(LISTED[3].id, "NOSPACE"),))}, "azure-prd-04 has raised the alarm NOSPACE"),
        (
            {"hash": answered(Hash(12, 3, 1))},
            "the data of azure-prd-01 differ (hash 1 at revision 12) from the majority's",
        ),
        ({"hash": answered(Hash(12, 4, 1))}, "cannot be compared: a compaction came in between"),
    ],
)
def test_each_fault_has_its_words(changes: dict[str, Any], words: str) -> None:
    result = verdict(spoilt(healthy(), 0, **changes))
    assert words in result.sentence
    assert not result.healthy


def test_a_stale_leader_without_a_quorum_is_no_leader() -> None:
    """Seconds after the loss of the quorum, survivors still name the dead leader: the reads tell."""
    samples = spoilt(spoilt(healthy(), 2, **DOWN), 3, **DOWN)
    for survivor in (0, 1):
        samples = spoilt(samples, survivor, linearizable=MUTE, alarms=NOT_ASKED)
    result = verdict(samples._replace(canary=Canary("", NOT_ASKED)))
    assert result.margin == "quorum lost: 2 of 4, needs 3: restart azure-prd-03 or azure-prd-04; do not wipe"
    assert result.sentence.endswith(result.margin)
    assert state(result, "azure-prd-01", "reads") == "failed"


def test_no_leader_anywhere_with_all_up() -> None:
    none = answered(Status(IDENTITY.cluster, 0, 0, 9, "3.5.16"))
    lost = {"status": none, "after": none, "linearizable": MUTE, "alarms": NOT_ASKED}
    result = verdict(everywhere(healthy(), **lost)._replace(canary=Canary("", NOT_ASKED), waited=6.0))
    assert result.sentence.startswith(
        "each of azure-prd-01, azure-prd-02, azure-prd-03 and azure-prd-04 sees no leader"
    )
    assert result.margin == "4 of 4 voters answer, quorum 3, and they have no leader"


def cut(*hears: tuple[int, ...]) -> Samples:
    """Nobody reads, and each member heard something of these in between."""
    samples = everywhere(healthy(), linearizable=MUTE, alarms=NOT_ASKED, rounds=())
    for which, others in enumerate(hears):
        heard = {LISTED[n].id: 700 for n in others} | {0: 99}
        samples = spoilt(
            samples, which, earlier=answered(Metrics(heard={LISTED[1].id: 70})), metrics=answered(Metrics(heard=heard))
        )
    return samples._replace(canary=Canary("", NOT_ASKED), waited=6.0)


def test_an_even_split_is_said_to_be_one() -> None:
    result = verdict(cut((1,), (), (3,), ()))
    names = "azure-prd-01, azure-prd-02, azure-prd-03 and azure-prd-04"
    sides = "azure-prd-01 and azure-prd-02 on one side, azure-prd-03 and azure-prd-04 on the other: an even split"
    assert result.margin == f"4 of 4 voters answer, quorum 3, and no side has it: {sides}"
    assert result.sentence.startswith(f"each of {names} sees no leader with a quorum after 6.0 s of waiting; 4 of 4")
    assert "three or five voters" in result.sentence


def test_what_is_no_split_is_not_said_to_be_one() -> None:
    assert "split" not in verdict(cut((1, 2), (), (3,), ())).margin, "two of them hear both sides"
    assert "split" not in verdict(cut()._replace(members=cut().members)).margin, "nobody told"
    three = verdict(cut((), (), (0,), (0,))).margin
    assert "split" not in three, "three that hear each other are only without a leader yet"


def test_a_member_that_hears_nobody_has_its_peer_path_blocked() -> None:
    samples = cut((), (2, 3), (3,), ())
    for which in (1, 2, 3):
        samples = spoilt(samples, which, linearizable=answered(Range(9, 0)))
    lost = Status(IDENTITY.cluster, LISTED[0].id, 0, 9, "3.5.16")
    result = verdict(spoilt(samples, 0, after=answered(lost)))
    assert result.sentence.startswith(
        "azure-prd-01 sees no leader after 6.0 s of waiting, while others see azure-prd-03, and hears none of them: "
        "its peer path is blocked; 3 of 4: no further loss tolerated; check network and firewall between azure-prd-01"
    )


def test_an_election_that_ended_while_some_were_asked_is_over() -> None:
    """The old leader is cut off, and the others had none yet when they were asked first: the last word counts."""
    before = answered(Status(IDENTITY.cluster, LISTED[0].id, 0, 6, "3.5.16"))
    lost = answered(Status(IDENTITY.cluster, LISTED[0].id, 0, 7, "3.5.16"))
    samples = spoilt(everywhere(healthy(), status=before), 0, linearizable=MUTE, after=lost)
    result = verdict(samples)
    assert result.sentence.startswith("azure-prd-01 sees no leader, while others see azure-prd-03; 3 of 4")
    assert [row.member for row in result.rows if row.check == "leader" and row.state == "failed"] == ["azure-prd-01"]


def test_who_was_too_slow_to_tell_alarms_that_others_told_is_no_fault_of_the_alarms() -> None:
    assert state(verdict(spoilt(healthy(), 0, alarms=MUTE)), "azure-prd-01", "alarms") == "not checked"
    assert not verdict(spoilt(healthy(), 0, alarms=MUTE)).healthy
    slow = spoilt(healthy(), 0, alarms=MUTE, rounds=(3.0,))
    assert verdict(slow).sentence.startswith("azure-prd-01 needs 2997 ms for a round trip to the leader")
    assert state(verdict(everywhere(healthy(), alarms=MUTE)), "azure-prd-01", "alarms") == "failed"


def test_the_alarm_that_forbids_reads_is_what_is_told() -> None:
    refusal = Reply("failed", detail="etcdserver: corrupt cluster")
    samples = everywhere(healthy(), linearizable=refusal, alarms=answered((Alarm(LISTED[2].id, "CORRUPT"),)), rounds=())
    result = verdict(samples._replace(canary=Canary("", NOT_ASKED)))
    assert result.sentence.startswith("azure-prd-03 has raised the alarm CORRUPT")
    assert state(result, "azure-prd-01", "reads") == "failed"


def test_a_learner_that_answers_only_that_it_is_one() -> None:
    refusal = Reply("failed", detail="etcdserver: rpc not supported for learner")
    silent = dict.fromkeys(("status", "local", "linearizable", "alarms", "metrics", "after"), NOT_ASKED)
    samples = spoilt(listing(entry(1, learner=True)), 1, listing=refusal, rounds=(), **silent)
    result = verdict(samples)
    assert result.sentence.startswith("azure-prd-02 is a learner and does not vote; 3 voters, quorum 2: one more loss")
    assert (result.healthy, state(result, "azure-prd-02", "client port")) == (False, "passed")


def entry(which: int, **changes: Any) -> tuple[Listed, ...]:
    return tuple(e._replace(**changes) if n == which else e for n, e in enumerate(LISTED))


STRANGER = Listed(5, "", ("http://10.1.0.9:2380",), ())


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (LISTED[:3], "azure-prd-04 runs as member 7758ef10a0088310, which its own list does not have: it was removed"),
        (
            entry(1, peer_urls=("http://10.1.0.22:2380",)),
            "azure-prd-02 is listed with the peer URL http://10.1.0.22:2380",
        ),
        (entry(1, client_urls=()), "azure-prd-02 has published no client URL"),
        (entry(1, client_urls=("http://127.0.0.1:2379",)), "a loopback address that leads every client to itself"),
        (entry(1, client_urls=("http://localhost:2379",)), "a loopback address"),
        (entry(1, client_urls=("http://[::bad",)), "azure-prd-02 advertises http://[::bad to clients"),
        (entry(1, client_urls=(*LISTED[1].client_urls, "http://10.1.0.2:4001")), "azure-prd-02 advertises"),
        (entry(1, learner=True), "azure-prd-02 is a learner"),
        (
            (*LISTED, STRANGER),
            "an unplanned voter that was added and not started is in the member list: 5 at http://10.1.0.9",
        ),
        ((*LISTED, STRANGER._replace(learner=True)), "an unplanned learner"),
        ((*LISTED, STRANGER._replace(name="azure-prd-01")), "an unplanned voter is in the member list: azure-prd-01"),
    ],
)
def test_every_difference_of_the_member_list_is_seen(entries: tuple[Listed, ...], words: str) -> None:
    result = verdict(listing(entries))
    assert words in result.sentence
    assert not result.healthy


def test_a_member_that_is_not_in_the_list() -> None:
    result = verdict(spoilt(listing(LISTED[:3]), 3, **DOWN))
    assert "azure-prd-04 refuses" in result.sentence
    assert "azure-prd-04 is not in the member list" in str(result.findings)
    assert result.margin == "3 voters, quorum 2: one more loss tolerated"


def test_an_unplanned_voter_counts_in_the_margin() -> None:
    assert verdict(listing((*LISTED, STRANGER))).margin == "4 of 5: one more loss tolerated"


def test_unplanned_voters_can_take_the_quorum() -> None:
    many = tuple(STRANGER._replace(id=n, peer_urls=(f"http://10.1.0.{n}:2380",)) for n in range(5, 10))
    result = verdict(listing((*LISTED, *many)))
    assert (
        result.margin == "quorum lost: 4 of 9, needs 5: start or remove the voters that are not rendered; do not wipe"
    )


def test_a_stray_member_is_told_how_to_come_back_even_without_a_quorum() -> None:
    stray = {"peer": answered(View(7, 0, LISTED)), "version": MUTE, "listing": NOT_ASKED, "linearizable": NOT_ASKED}
    samples = spoilt(spoilt(healthy(), 0, **stray), 1, **DOWN)
    assert "stop etcd on azure-prd-01, correct its token" in verdict(samples).sentence


def test_a_readded_member_has_an_id_that_cannot_be_computed_and_is_ours() -> None:
    entries = entry(3, id=4711)
    samples = spoilt(listing(entries), 3, listing=answered(View(IDENTITY.cluster, 4711, entries)))
    assert verdict(samples).healthy


def test_a_later_member_is_judged_by_the_founders_cluster_id() -> None:
    assert verdict(healthy(), founders=MEMBERS).healthy
    assert not verdict(healthy(), founders=MEMBERS[:3]).healthy


def test_another_token_everywhere_never_advises_a_wipe() -> None:
    result = verdict(healthy(), token="another")
    assert result.sentence.startswith(
        "each of azure-prd-01, azure-prd-02, azure-prd-03 and azure-prd-04 belongs to cluster"
    )
    assert "its token differs" in result.sentence
    assert "empty data directory" not in str(result.findings)


def test_half_against_half_has_no_majority() -> None:
    samples = spoilt(spoilt(healthy(), 0, hash=answered(Hash(12, 3, 1))), 1, hash=answered(Hash(12, 3, 1)))
    result = verdict(samples)
    assert "there is no majority to say which are right" in result.sentence
    assert {state(result, member.name, "data") for member in MEMBERS} == {"failed"}


def test_two_compactions_are_not_two_truths() -> None:
    samples = spoilt(spoilt(healthy(), 0, hash=answered(Hash(12, 4, 1))), 1, hash=answered(Hash(12, 4, 1)))
    states = [state(verdict(samples), member.name, "data") for member in MEMBERS]
    assert sorted(states) == ["not checked", "not checked", "passed", "passed"]


def test_a_nameless_corruption_alarm_is_named_by_the_hashes() -> None:
    samples = everywhere(healthy(), alarms=answered((Alarm(0, "CORRUPT"),)))
    result = verdict(spoilt(samples, 2, hash=answered(Hash(12, 3, 1))))
    assert result.sentence.startswith(
        "the cluster has raised the alarm CORRUPT that names no member (the data of azure-prd-03 differ)"
    )


def traces(which: int, **changes: Any) -> Samples:
    samples = healthy()
    assert samples.canary is not None
    changed = [t._replace(**changes) if n == which else t for n, t in enumerate(samples.canary.traces)]
    return samples._replace(canary=samples.canary._replace(traces=tuple(changed)))


@pytest.mark.parametrize(
    ("samples", "words", "which"),
    [
        (traces(1, put=MUTE), "it is unknown whether the write was made", ("azure-prd-02", "canary", "not checked")),
        (traces(1, put=Reply("failed", detail="etcdserver: too many requests")), "does not take a write (failed", ("azure-prd-02", "canary", "failed")),
        (traces(1, found=answered(("azure-prd-02",))), "azure-prd-02 does not return what was just written", ("azure-prd-02", "canary", "failed")),
        (traces(1, left=answered(1)), "1 values of the canary are left", ("cluster", "canary removed", "failed")),
        (traces(1, left=MUTE), "unknown whether the canary is removed", ("cluster", "canary removed", "not checked")),
    ],
)  # fmt: skip
def test_what_came_of_the_canary(samples: Samples, words: str, which: tuple[str, str, str]) -> None:
    result = verdict(samples)
    assert words in result.sentence
    assert state(result, *which[:2]) == which[2]
    assert not result.healthy


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("3.5.2", "can corrupt"),
        ("3.5.5", "older than 3.5.6"),
        ("3.4.9", "older than 3.4.22"),
        ("3.4.22", ""),
        ("3.6.1", ""),
    ],
)
def test_old_versions_are_warned_of(version: str, words: str) -> None:
    result = verdict(everywhere(healthy(), version=answered(version)))
    warnings = [finding.message for finding in result.findings if finding.severity == "warning"]
    assert result.healthy
    assert all(words in message for message in warnings)
    assert len(warnings) == (4 if words else 0)


def test_versions_warn_and_do_not_condemn() -> None:
    result = verdict(spoilt(healthy(), 0, version=answered("3.5.1")))
    assert result.healthy
    assert sum(finding.severity == "warning" for finding in result.findings) == 2  # it corrupts, and they differ


def test_two_places_of_two_are_a_risk_that_is_told() -> None:
    sites = {member.name: "west" if n < 2 else "north" for n, member in enumerate(MEMBERS)}
    result = verdict(healthy(), sites=sites)
    assert "the loss of north or west alone loses the quorum" in str(result.findings)
    assert result.healthy


def rounds(which: int, *seconds: float) -> Samples:
    return spoilt(healthy(), which, rounds=seconds)


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (rounds(0, 0.8, 0.61, 0.7), "azure-prd-01 needs 607 ms for a round trip to the leader, more than the heartbeat of 500 ms"),
        (rounds(0, 3.0), "azure-prd-01 needs 2997 ms for a round trip to the leader, more than the election timeout of 2500 ms"),
        (rounds(2, 0.9), "azure-prd-03 needs 898 ms for a round trip from the leader to a quorum of its followers"),
        (spoilt(healthy(), 1, metrics=answered(Metrics((12.0, 20)))), "the disk of azure-prd-02 needs 600 ms for a write"),
        (
            spoilt(healthy(), 1, metrics=answered(Metrics((1.0, 100))), strained=answered(Metrics((3.1, 103)))),
            "the disk of azure-prd-02 needs 700 ms for a write",
        ),
        (
            spoilt(healthy(), 3, after=answered(Status(1, 1, 1, 7, "", newest=30, applied=30 - 6000))),
            "azure-prd-04 has carried out 6000 entries less than the newest one",
        ),
    ],
)  # fmt: skip
def test_what_is_beyond_its_limit_is_a_fault(samples: Samples, sentence: str) -> None:
    result = verdict(samples)
    assert result.sentence.startswith(sentence)
    assert not result.healthy


def test_only_some_reads_or_one_slow_put_do_not_make_a_round_trip() -> None:
    assert verdict(rounds(0, 0.9, 0.9, 0.01)).healthy, "the shortest of a few"
    assert not verdict(rounds(0)).healthy, "nothing was measured, and nothing is claimed"


@pytest.mark.parametrize(
    ("samples", "severity", "message"),
    [
        (rounds(0, 0.3), "warning", "a round trip of 297 ms is near the heartbeat of 500 ms"),
        (rounds(0, 0.01, 0.9), "warning", "reads in a row took between 10 and 900 ms"),
        (everywhere(healthy(), version=Reply("answered", "3.5.16", ahead=-7.4)), "warning", "its clock is 7 s behind this machine's"),
        (everywhere(healthy(), after=answered(Status(1, 1, 1, 7, "", 1800 << 20))), "warning", "its data have 1,800 MiB, and its quota is 2,048 MiB"),
        (everywhere(healthy(), after=answered(Status(1, 1, 1, 7, "", 900 << 20, (), 90 << 20))), "info", "of 900 MiB on its disk only 90 MiB are used"),
        (everywhere(healthy(), after=answered(Status(1, 1, 1, 8, ""))), "warning", "the leader changed during this check"),
    ],
)  # fmt: skip
def test_what_is_near_its_limit_is_told_and_is_no_fault(samples: Samples, severity: str, message: str) -> None:
    samples = samples._replace(
        members=tuple(
            s._replace(
                after=s.after._replace(value=s.after.value._replace(newest=9, applied=9)) if s.after.value else s.after,
            )
            for s in samples.members
        ),
    )
    result = verdict(samples)
    assert result.healthy
    assert [f.severity for f in result.findings if message in f.message][:1] == [severity]


def gone(*which: int) -> Samples:
    samples = healthy()
    for n in which:
        samples = spoilt(samples, n, **DOWN, rounds=(), metrics=NOT_ASKED, after=NOT_ASKED)
    return samples._replace(canary=canary(tuple(m for n, m in enumerate(MEMBERS) if n not in which)))


LATER = frozenset({"azure-prd-03", "azure-prd-04"})


def mute(samples: Samples, *which: int) -> Samples:
    """The same where these members have no quorum since they started: the peer port shows who they are, clients wait."""
    silent = dict.fromkeys(
        ("listing", "status", "local", "linearizable", "alarms", "hash", "metrics", "after"), NOT_ASKED
    )
    for n in which:
        samples = spoilt(samples, n, **silent, version=MUTE, rounds=())
    return samples._replace(canary=None)


def test_a_cluster_on_its_way_is_not_a_broken_one() -> None:
    samples = unpublished(mute(gone(2, 3), 0, 1), 0, 1, 2, 3)  # founders that wait for each other
    result = verdict(samples, awaiting=LATER)
    assert (result.kind, result.healthy) == ("awaiting", False)
    assert result.sentence == (
        "awaiting azure-prd-03 and azure-prd-04; no quorum is possible with 2 of 4, which needs 3: "
        "deploy them, and wipe or restart nothing meanwhile"
    )
    assert not result.findings.errors
    strange = spoilt(samples, 0, peer=answered(View(7, 0, LISTED)))
    result = verdict(strange._replace(canary=None), awaiting=LATER)
    assert result.kind == "unhealthy"
    assert result.sentence.startswith("azure-prd-01 belongs to cluster 7")


def test_a_quorum_that_serves_while_the_last_machine_is_missing() -> None:
    result = verdict(unpublished(gone(3), 3), awaiting=frozenset({"azure-prd-04"}))
    assert (result.kind, result.sentence) == (
        "awaiting",
        "awaiting azure-prd-04; the other 3 of 4 serve; 3 of 4: no further loss tolerated; deploy what is missing",
    )
    assert verdict(gone(3)).kind == "unhealthy", "a machine that exists has to serve"
    assert verdict(gone(1, 3), awaiting=frozenset({"azure-prd-04"})).kind == "unhealthy"
    assert verdict(healthy(), awaiting=frozenset({"azure-prd-04"})).healthy, "the inventory is old: it is there"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_quorum_that_was_there_is_lost_and_not_awaited(*, restarted: bool) -> None:
    """Nothing may be known of the machines that are gone; what is left knows that they have served."""
    noone = Reply[Any]("failed", detail="etcdserver: no leader")
    left = gone(1, 2, 3)
    left = mute(left, 0) if restarted else spoilt(left, 0, linearizable=noone, alarms=NOT_ASKED, hash=NOT_ASKED)
    result = verdict(left._replace(canary=None), awaiting=LATER | {"azure-prd-02"})
    assert result.kind == "unhealthy"
    assert result.findings.errors
    if not restarted:
        lost = (
            "quorum lost: 1 of 4, needs 3: deploy azure-prd-02, azure-prd-03 or azure-prd-04 again, with its data disk"
        )
        assert f"{lost} as it is; do not wipe" in result.sentence


def test_where_nobody_answers_it_counts_what_was_seen_before() -> None:
    silent = gone(0, 1, 2, 3)._replace(canary=None)
    assert verdict(silent, awaiting=LATER).kind == "awaiting", "the machines of a first deployment boot"
    assert verdict(silent, awaiting=LATER, seen=frozenset({"azure-prd-01"})).kind == "unhealthy"
    again = unpublished(mute(gone(2, 3), 0, 1), 0, 1, 2, 3)
    assert verdict(again, awaiting=LATER, seen=LATER).kind == "awaiting", "they say themselves that it is another one"


def test_the_voters_that_are_listed_count_where_others_have_left_for_good() -> None:
    result = verdict(without(gone(2, 3), 2, 3), awaiting=LATER)
    assert (result.kind, result.members) == ("awaiting", frozenset({"azure-prd-01", "azure-prd-02"}))
    start = (
        "awaiting azure-prd-03 and azure-prd-04; the other 2 of 4 serve; 2 voters, quorum 2: no further loss tolerated"
    )
    assert result.sentence.startswith(start)
    assert result.sentence.endswith("deploy what is missing, or name in etcd.removed who is gone for good")
    half = spoilt(without(gone(1, 2, 3), 2, 3), 0, linearizable=Reply("failed", detail="no leader"), hash=NOT_ASKED)
    result = verdict(half._replace(canary=None), awaiting=LATER)
    assert (result.kind, "quorum lost: 1 of 2, needs 2: restart azure-prd-02; do" in result.sentence) == (
        "unhealthy",
        True,
    )


def test_a_machine_that_somebody_has_taken_away_is_a_fault() -> None:
    result = verdict(gone(3), gone=frozenset({"azure-prd-04"}))
    assert (result.kind, state(result, "azure-prd-04", "machine")) == ("unhealthy", "failed")
    assert result.sentence.startswith(
        "azure-prd-04 has no machine any more; 3 of 4: no further loss tolerated; go on with what was interrupted, or let"
    )
    assert verdict(healthy(), gone=frozenset({"azure-prd-04"})).healthy, "it answers: it is there again"


# Properties. A reply of one field is spoilt when it is no answer, or an answer that a healthy member never gives.
NO_ANSWER = st.builds(
    Reply,
    st.sampled_from(["failed", "refused", "unreachable", "mute", "broken", "not etcd", "bad JSON", "not asked"]),
    st.none(),
    st.text(max_size=30) | st.just("etcdserver: user name is empty"),
    st.floats(0, 10),
)
WRONG: dict[str, list[Any]] = {
    "peer": [View(IDENTITY.cluster ^ 1, 0, LISTED)],
    "version": ["3.3.9", "0"],
    "listing": [View(IDENTITY.cluster, 1, LISTED), View(IDENTITY.cluster, LISTED[1].id, LISTED[1:]), View(0, 0, ())],
    "status": [Status(IDENTITY.cluster, 0, 0, 7, ""), Status(IDENTITY.cluster, 0, 99, 7, "")],
    "linearizable": [],
    "alarms": [(Alarm(0, "CORRUPT"),), (Alarm(LISTED[0].id, "NOSPACE"),), (Alarm(5, "NOSPACE"),)],
    "hash": [Hash(12, 3, 0), Hash(12, 4, 0xABCDEF), Hash(0, 0, 0)],
    "metrics": [Metrics((30.0, 20)), Metrics()],
    "after": [Status(IDENTITY.cluster, 0, 0, 7, "", newest=9999, applied=9999)],
}
SPOILS = st.sampled_from(sorted(WRONG)).flatmap(
    lambda field: st.tuples(
        st.integers(0, 3),
        st.just(field),
        NO_ANSWER | st.sampled_from(WRONG[field]).map(answered) if WRONG[field] else NO_ANSWER,
    )
)


@settings(max_examples=300, deadline=None)
@given(st.lists(SPOILS, min_size=1, max_size=8))
def test_never_healthy_with_anything_spoilt(spoils: list[tuple[int, str, Reply[Any]]]) -> None:
    samples = healthy()
    for which, field, reply in spoils:
        samples = spoilt(samples, which, **{field: reply})
    result = verdict(samples)
    assert not result.healthy
    assert not result.sentence.startswith("healthy")
    assert {row.state for row in result.rows} != {"passed"}


CANARY_SPOILS = st.tuples(st.integers(0, 3), st.sampled_from(["put", "found", "left"]), NO_ANSWER)


@settings(max_examples=100, deadline=None)
@given(CANARY_SPOILS)
def test_never_healthy_with_a_spoilt_canary(spoil: tuple[int, str, Reply[Any]]) -> None:
    which, field, reply = spoil
    assert not verdict(traces(which, **{field: reply})).healthy


@settings(deadline=None)
@given(st.sets(st.integers(0, 3), min_size=1))
def test_never_healthy_without_the_sample_of_a_member(missing: set[int]) -> None:
    samples = healthy()
    kept = tuple(sample for n, sample in enumerate(samples.members) if n not in missing)
    assert not verdict(samples._replace(members=kept)).healthy


NUMBERS = st.integers(0, 6) | st.sampled_from([IDENTITY.cluster, *(e.id for e in LISTED)])
URLS = st.sampled_from(
    ["", "http://", "http://[", "::", *(m.client_url for m in MEMBERS), *(m.peer_url for m in MEMBERS)]
)
NAMES = st.sampled_from(["", "?", *(m.name for m in MEMBERS)])
WHO = st.sampled_from(MEMBERS)
ENTRIES = st.lists(
    st.builds(Listed, NUMBERS, NAMES, st.lists(URLS, max_size=2).map(tuple), st.lists(URLS, max_size=2).map(tuple), st.booleans()),
    max_size=5,
).map(tuple)  # fmt: skip


def reply(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Reply[Any]]:
    return NO_ANSWER | values.map(answered)


VIEWS = reply(st.builds(View, NUMBERS, NUMBERS, ENTRIES))
RANGES = reply(st.builds(Range, NUMBERS, NUMBERS))
PAIRS = st.tuples(st.floats(0, 99), st.integers(0, 99))
METRICS = st.builds(
    Metrics,
    PAIRS,
    PAIRS,
    NUMBERS,
    st.dictionaries(NUMBERS, PAIRS, max_size=3),
    st.dictionaries(NUMBERS, NUMBERS, max_size=3),
)
SAMPLE = st.builds(
    Sample,
    WHO,
    host=st.just(NOT_ASKED),
    peer=VIEWS,
    login=reply(st.booleans()),
    version=reply(st.text(max_size=12) | st.just("3.5.1")),
    listing=VIEWS,
    status=reply(st.builds(Status, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.text(max_size=5))),
    local=RANGES,
    linearizable=RANGES,
    alarms=reply(st.lists(st.builds(Alarm, NUMBERS, st.text(max_size=8)), max_size=2).map(tuple)),
    hash=reply(st.builds(Hash, NUMBERS, NUMBERS, NUMBERS)),
    metrics=reply(METRICS),
    earlier=reply(METRICS),
    strained=reply(METRICS),
    after=reply(
        st.builds(
            Status,
            NUMBERS,
            NUMBERS,
            NUMBERS,
            NUMBERS,
            st.text(max_size=5),
            NUMBERS,
            st.just(()),
            NUMBERS,
            NUMBERS,
            NUMBERS,
        )
    ),
    rounds=st.lists(st.floats(0, 9), max_size=3).map(tuple),
)
TRACE = st.builds(Trace, WHO, reply(NUMBERS), reply(st.lists(NAMES, max_size=4).map(tuple)), reply(NUMBERS))
CANARY = st.builds(
    Canary, st.text(max_size=5), reply(NUMBERS), reply(st.booleans()), st.lists(TRACE, max_size=5).map(tuple)
)
ANY = st.builds(
    Samples, st.lists(SAMPLE, max_size=5).map(tuple), st.none() | CANARY, st.floats(0, 99), st.floats(0, 99)
)


@settings(max_examples=300, deadline=None)
@given(ANY, st.lists(WHO, max_size=4, unique=True))
def test_judging_never_fails_and_is_consistent(samples: Samples, expected: list[Member]) -> None:
    result = verdict(samples, members=expected, founders=expected)
    assert result.healthy == (bool(expected) and {row.state for row in result.rows} == {"passed"})
    assert result.sentence.startswith("healthy") == result.healthy
    assert result.margin
    assert {row.state for row in result.rows} <= {"passed", "failed", "not checked"}


def test_every_field_of_a_sample_is_spoilt_by_the_properties() -> None:
    assert set(WRONG) == set(Sample._fields) - {
        "member",
        "host",
        "rounds",
        "strained",
        "local",  # only of one that does not read through a leader
        "login",
        "earlier",
    }  # told apart above


FIFTH = Member("azure-prd-05", IPv4Address("10.1.0.5"))


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (None, "azure-prd-05 (not in the member list yet); the other 4 of 5 serve; 4 voters, quorum 3: one more loss"),
        (Listed(5, "", (FIFTH.peer_url,), ()), "azure-prd-05 (added, and not started yet); the other 4 of 5 serve; 4 of 5"),
        (
            Listed(5, "azure-prd-05", (FIFTH.peer_url,), (FIFTH.client_url,), learner=True),
            "azure-prd-05 (a learner that catches up); the other 4 of 5 serve; 4 voters, quorum 3: one more loss",
        ),
    ],
)  # fmt: skip
def test_a_member_that_joins_is_on_its_way(entry: Listed | None, sentence: str) -> None:
    now = {"members": (*MEMBERS, FIFTH), "joining": frozenset({"azure-prd-05"})}
    samples = listing((*LISTED, entry) if entry else LISTED)
    result = verdict(samples, **now)
    assert (result.kind, result.sentence[: len(sentence) + 9]) == ("awaiting", f"awaiting {sentence}")
    assert verdict(samples, **now | {"joining": frozenset()}).kind == "unhealthy", "nobody intends that it joins now"
    assert verdict(spoilt(samples, 1, **DOWN), **now).kind == "unhealthy", "another member is down"


def test_a_member_that_joined_is_held_to_what_all_are() -> None:
    joined = Listed(5, "azure-prd-05", (FIFTH.peer_url,), (FIFTH.client_url,))
    now = {"members": (*MEMBERS, FIFTH), "joining": frozenset({"azure-prd-05"})}
    assert verdict(listing((*LISTED, joined)), **now).kind == "unproven", "it votes, and was not asked"


def test_a_member_that_is_to_leave_is_on_its_way_out() -> None:
    stays = tuple(m for m in MEMBERS if m.name != "azure-prd-02")
    result = verdict(healthy(), members=stays, leaving=("azure-prd-02",))
    number = f"{IDENTITY.members['azure-prd-02']:x}"
    assert result.kind == "awaiting"
    assert result.sentence.startswith("awaiting azure-prd-02 (to be removed, and still a member); the other 3 of 3")
    assert result.sentence.endswith(f"etcdctl member remove {number}")
    assert verdict(healthy(), members=stays).kind == "unhealthy", "nobody intends that it leaves"


# As etcd 3.6 answers (its api/etcdserverpb/rpc.proto, StatusResponse): what earlier ones do not say.
STATUS_36 = {
    "header": {"cluster_id": "1", "member_id": "2", "revision": "9", "raft_term": "7"},
    "version": "3.6.5", "dbSize": "20480", "leader": "2", "raftIndex": "30", "raftTerm": "7", "raftAppliedIndex": "30",
    "dbSizeInUse": "16384", "storageVersion": "3.6.0", "dbSizeQuota": "1073741824",
    "downgradeInfo": {"enabled": True, "targetVersion": "3.5.0"},
}  # fmt: skip


def test_what_36_says_more_is_read_and_told() -> None:
    status = answers.status(STATUS_36, {})
    assert (status.quota, status.downgrade) == (1 << 30, "3.5.0")
    assert answers.status({**STATUS_36, "downgradeInfo": {}}, {}).downgrade == ""
    own = status._replace(cluster=IDENTITY.cluster, leader=LISTED[2].id)
    result = verdict(everywhere(healthy(), status=answered(own), version=answered("3.6.5")))
    assert result.healthy
    assert sum("a downgrade to 3.5.0 is under way" in finding.message for finding in result.findings) == 4
    full = own._replace(db_size=900 << 20, newest=30, applied=30)
    quota = "its data have 900 MiB, and its quota is 1,024 MiB"
    assert quota in str(verdict(everywhere(healthy(), after=answered(full))).findings)


@pytest.mark.parametrize("body", [{}, {"header": {"cluster_id": "1"}}, {"alarms": []}])
def test_no_alarm_is_told_with_and_without_a_header(body: dict[str, Any]) -> None:
    """Up to 3.4 the gateway leaves the header out."""
    assert answers.alarms(body, {}) == ()


def test_an_object_of_somebody_else_is_no_list_of_alarms() -> None:
    with pytest.raises(ValueError, match="alarms"):
        answers.alarms({"status": "ok"}, {})


def test_a_newest_revision_that_was_compacted_proves_nothing() -> None:
    no: Reply[Any] = Reply("not etcd", detail="HTTP 400: mvcc: required revision has been compacted")
    result = verdict(everywhere(healthy(), hash=no))
    assert (result.kind, {row.state for row in result.rows if row.check == "data"}) == ("unproven", {"not checked"})
    assert "cannot be compared: their newest revision was compacted" in result.sentence
