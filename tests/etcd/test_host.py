"""What a host tells of its etcd: understood from what commands say, and judged before anything else."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corelib import parameters
from corelib.etcd import host
from corelib.etcd.commands import see
from corelib.etcd.hosts import LEAST_FREE, differing, ended
from corelib.etcd.intended import OnHost
from corelib.etcd.judge import Intended, Verdict, judge
from corelib.etcd.lastwords import explain
from corelib.etcd.onhost import on_hosts
from corelib.etcd.samples import NOT_ASKED, HostFacts, Mount, Reply, Sample, Samples, Space, Unit
from corelib.ssh import CommandTimedOut, Done, NoSsh
from tests.project import ROOT

from .clusters import binary
from .samples import MEMBERS, TOKEN, answered, everywhere, healthy, spoilt, unpublished
from .test_judge import DOWN, REFUSED, state

PRD = parameters.load((ROOT / "parameters/prd.yaml").read_text(), "prd.yaml").fleet
ON = on_hosts(PRD)
RUNS = Unit("active", "running", "success")
ENVIRONMENT = ON["azure-prd-02"].environment
ROOM = Space(32 * 10**9, 20 * 10**9)
DISK = Mount("/dev/sdc", "/var/lib/etcd", "ext4")
FAILED = Unit("failed", "failed", "exit-code", 1, 5)
THROUGH = Intended(
    MEMBERS, MEMBERS, TOKEN, 500, 2500, hosts=ON, only_from_hosts=True,
    logins={m.name: f"ssh -p 220{n} core@203.0.113.5" for n, m in enumerate(MEMBERS, 1)},
)  # fmt: skip
DIRECT = THROUGH._replace(only_from_hosts=False)


def facts(name: str = "azure-prd-02", **fields: Any) -> HostFacts:
    well = HostFacts(RUNS, 700, ON[name].environment, "", ROOM, DISK, 0.01)
    return well._replace(**fields)


def told() -> Samples:
    """A healthy cluster whose hosts all say so."""
    samples = healthy().members
    return healthy()._replace(members=tuple(s._replace(host=answered(facts(s.member.name))) for s in samples))


def second(**fields: Any) -> Samples:
    """The second host says something else."""
    return spoilt(told(), 1, host=answered(facts(**fields)))


def verdict(samples: Samples, intended: Intended = THROUGH) -> Verdict:
    return judge(intended, samples)


def row(result: Verdict, check: str, member: str = "azure-prd-02") -> Any:
    return next(row for row in result.rows if (row.member, row.check) == (member, check))


# The layer.


def test_hosts_that_are_well_are_healthy_and_come_first() -> None:
    for intended in (THROUGH, DIRECT):
        result = verdict(told(), intended)
        assert result.healthy, result.sentence
        assert [one.check for one in result.rows[:4]] == ["process", "space", "data disk", "environment"]


def test_where_nobody_asked_the_hosts_there_is_no_such_layer() -> None:
    result = verdict(healthy(), DIRECT)
    assert result.healthy
    assert result.rows[0].check == "identity"


def test_where_hosts_were_to_be_asked_a_missing_one_proves_nothing() -> None:
    result = verdict(spoilt(told(), 1, host=NOT_ASKED))
    assert (result.kind, row(result, "host").state) == ("unproven", "not checked")


def test_a_full_disk_is_seen_while_everything_else_is_green() -> None:
    """The matrix's "disk full, idle": every port is well, and the next writes end it."""
    result = verdict(second(space=Space(32 * 10**9, 100 * 10**6)))
    assert result.sentence == (
        "azure-prd-02 has 100 MB of 32,000 MB free on the disk of its data: etcd ends when it is full; 4 voters, quorum "
        "3: one more loss tolerated; find what fills it (sudo du -xh /var/lib/etcd), or make the disk larger; delete "
        "nothing there, and defragment only where a copy of the data has room"
    )
    assert verdict(second(space=Space(32 * 10**9, LEAST_FREE + 1))).healthy
    large = THROUGH._replace(quota_mb=8192)
    assert not judge(large, second(space=Space(32 * 10**9, LEAST_FREE + 1))).healthy, "a tenth of the quota"


def test_data_beside_their_disk_are_seen() -> None:
    result = verdict(second(mount=Mount("/dev/sda9", "/", "ext4")))
    begins = "azure-prd-02 keeps its data on /dev/sda9, mounted at / (ext4), not on its data disk: they go when the"
    assert result.sentence.startswith(begins)
    without = {**ON, "azure-prd-02": ON["azure-prd-02"]._replace(data_disk=False)}
    assert judge(THROUGH._replace(hosts=without), second(mount=Mount("/dev/sda9", "/", "ext4"))).healthy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ETCD_HEARTBEAT_INTERVAL", "100"),
        ("ETCD_ELECTION_TIMEOUT", "1000"),
        ("ETCD_NAME", "azure-prd-01"),
        ("ETCD_DATA_DIR", "/var/lib/etcd2"),
        ("ETCD_LISTEN_CLIENT_URLS", "http://0.0.0.0:2379"),
        ("ETCD_ADVERTISE_CLIENT_URLS", "http://127.0.0.1:2379"),
    ],
)
def test_another_setting_than_rendered_is_a_fault(name: str, value: str) -> None:
    result = verdict(second(environment={**ENVIRONMENT, name: value}))
    assert result.sentence.startswith(
        f"azure-prd-02 runs etcd with other settings than rendered: {name} is {value} instead of {ENVIRONMENT[name]}; "
    )
    assert "do not wipe its data" in result.sentence
    assert state(result, "azure-prd-02", "environment") == "failed"


def test_a_setting_that_is_not_there_is_said_so() -> None:
    left = {k: v for k, v in ENVIRONMENT.items() if k != "ETCD_ELECTION_TIMEOUT"}
    assert "ETCD_ELECTION_TIMEOUT is not set instead of 2500" in verdict(second(environment=left)).sentence


@pytest.mark.parametrize("name", ["ETCD_INITIAL_CLUSTER_TOKEN", "ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_STATE"])
def test_what_matters_at_the_bootstrap_only_is_stale_and_harmless(name: str) -> None:
    result = verdict(second(environment={**ENVIRONMENT, name: "other"}))
    assert result.healthy
    stale = [finding for finding in result.findings if "stale, and harmless" in finding.message]
    assert [(finding.severity, finding.where) for finding in stale] == [("info", "azure-prd-02")]


def test_another_tuning_is_a_warning() -> None:
    result = verdict(second(environment={**ENVIRONMENT, "ETCD_QUOTA_BACKEND_BYTES": "1"}))
    assert result.healthy
    assert ("warning", "ETCD_QUOTA_BACKEND_BYTES is 1 instead of 2147483648") in {
        (finding.severity, finding.message) for finding in result.findings
    }


def test_urls_have_no_order() -> None:
    assert differing({"A": "b,a"}, {"A": "a,b"}) == []
    assert differing({"A": "b"}, {"A": "a,b"}) == ["A"]


BOOTSTRAPPED = "discovery failed: member 8e9e05c52164694d has already been bootstrapped"


def test_a_process_that_is_not_there_is_told_with_its_last_words_and_once() -> None:
    samples = spoilt(told(), 1, **DOWN, host=answered(facts(unit=FAILED, pid=0, environment=None, fatal=BOOTSTRAPPED)))
    result = verdict(samples)
    assert result.sentence == (
        "azure-prd-02 runs no etcd, etcd-member.service is failed, exited with 1, started again 5 times: its "
        "data are gone, and it tries to found a cluster that it is in already (discovery failed: member "
        "8e9e05c52164694d has already been bootstrapped); 3 of 4: no further loss tolerated; once the others have a "
        "quorum: etcdctl member remove it, etcdctl member add it again, and start it with an empty data directory and "
        "ETCD_INITIAL_CLUSTER_STATE=existing; wipe no other member"
    )
    errors = [finding.message for finding in result.findings if finding.severity == "error"]
    assert len(errors) == 1


def test_with_the_quorum_lost_nobody_is_told_to_wipe() -> None:
    down = answered(facts(unit=FAILED, pid=0, environment=None, fatal=BOOTSTRAPPED))
    samples = everywhere(told(), linearizable=REFUSED, alarms=NOT_ASKED)
    for which in (1, 2):
        samples = spoilt(samples, which, **DOWN, host=down)
    result = verdict(samples._replace(canary=None))
    assert result.sentence.endswith("quorum lost: 2 of 4, needs 3: restart azure-prd-02 or azure-prd-03; do not wipe")


def test_a_process_of_another_name_is_no_dead_one() -> None:
    result = verdict(second(pid=0, environment=None))
    assert result.kind == "healthy", "it answers, whatever the host calls it"


def test_a_process_that_came_again_is_a_warning() -> None:
    result = verdict(second(unit=RUNS._replace(restarts=3)))
    assert result.healthy
    assert any("systemd has started etcd again 3 times" in finding.message for finding in result.findings)


def test_a_clock_is_compared_exactly_where_the_host_tells_it() -> None:
    assert any("its clock is 1 s behind" in f.message for f in verdict(second(ahead=-1.2)).findings)
    assert not any("its clock" in f.message for f in verdict(second(ahead=0.9)).findings)


@pytest.mark.parametrize("gone", ["pid", "space", "mount", "environment"])
def test_what_a_host_does_not_tell_is_not_checked_or_not_missed(gone: str) -> None:
    samples = second(**{gone: None}, missing={gone: "sudo ended with 1: a password is required"})
    result = verdict(samples)
    assert (result.kind, "a password is required" in result.sentence) == ("unproven", True)
    assert verdict(samples, DIRECT).healthy, "nobody has promised it"


UNREACHED: dict[str, tuple[Reply[Any], str]] = {
    "refused": (Reply("refused", detail="Connection refused"), "cannot be reached by SSH (Connection refused)"),
    "unreachable": (Reply("unreachable", detail="no answer in time"), "cannot be reached by SSH (no answer in time)"),
    "not let in": (Reply("not let in", detail="x"), "does not let us in by SSH (x)"),
    "failed": (Reply("failed", detail="the time was up"), "answers no question about itself (the time was up)"),
}


@pytest.mark.parametrize("name", UNREACHED)
def test_a_host_that_is_not_reached_leaves_its_member_unknown(name: str) -> None:
    reply, words = UNREACHED[name]
    nothing = dict.fromkeys(DOWN, NOT_ASKED)
    result = verdict(spoilt(told(), 1, **nothing, host=reply))
    assert (result.kind, words in result.sentence) == ("unproven", True)
    assert "could not be asked: no further loss tolerated for certain" in result.margin
    beside = verdict(spoilt(told(), 1, host=reply), DIRECT)
    assert beside.healthy, "it was asked from here, and is well"
    assert any(f.severity == "warning" and f.where == "azure-prd-02" for f in beside.findings)


@pytest.mark.parametrize("intended", [THROUGH, DIRECT])
def test_another_host_key_is_a_fault_either_way(intended: Intended) -> None:
    reply: Reply[Any] = Reply("another host key", detail="it answers with the host key SHA256:B, pinned is SHA256:A")
    result = verdict(spoilt(told(), 1, host=reply), intended)
    assert result.kind == "unhealthy"
    assert "SHA256:B, pinned is SHA256:A" in result.sentence


def test_what_is_on_its_way_does_not_excuse_a_host_that_is_not_reached() -> None:
    waiting = THROUGH._replace(awaiting=frozenset({"azure-prd-04"}))
    nothing = dict.fromkeys(DOWN, NOT_ASKED)
    samples = unpublished(spoilt(told(), 3, **nothing, host=NOT_ASKED), 3)
    assert judge(waiting, samples).kind == "awaiting"
    assert judge(waiting, spoilt(samples, 1, **nothing, host=UNREACHED["refused"][0])).kind == "unproven"


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 3), min_size=1), st.sampled_from(sorted(UNREACHED)))
def test_never_healthy_and_never_lost_with_hosts_that_are_not_reached(which: set[int], how: str) -> None:
    samples = told()
    for number in which:
        samples = spoilt(samples, number, **dict.fromkeys(DOWN, NOT_ASKED), host=UNREACHED[how][0])
    result = verdict(samples)
    assert result.kind == "unproven"
    assert "quorum lost" not in result.sentence


def test_each_row_has_a_command_for_the_host() -> None:
    for check in ("process", "space", "data disk", "environment"):
        assert see(row(verdict(told()), check), THROUGH).startswith('ssh -p 2202 core@203.0.113.5 "')


# What is expected on a host is what its user-data says.


def test_the_rendered_environment_is_complete() -> None:
    assert ON["azure-prd-02"].unit == "etcd-member.service"
    assert ENVIRONMENT["ETCD_NAME"] == "azure-prd-02"
    assert ENVIRONMENT["ETCD_HEARTBEAT_INTERVAL"] == "500"
    assert ENVIRONMENT["ETCD_LISTEN_PEER_URLS"] == "http://10.1.0.2:2380,http://10.1.0.2:7001"
    assert set(ON) == {member.name for member in PRD.etcd.members}
    old = on_hosts(PRD.model_copy(update={"profile": "as-written"}))["azure-prd-02"]
    assert (old.unit, old.data_dir, old.data_disk) == ("etcd2.service", "/var/lib/etcd2", False)


# Understanding commands.


def test_a_process_environment_is_etcds_alone_and_without_secrets() -> None:
    text = "PATH=/bin\0ETCD_NAME=a\0ETCD_X=b=c\0SECRET=s\0ETCD_ROOT_PASSWORD=p\0"
    assert host.variables(text) == {"ETCD_NAME": "a", "ETCD_X": "b=c"}


def test_disk_and_mount_are_the_last_line() -> None:
    assert host.space("   1B-blocks       Avail\n 31614803968 29871751168\n") == Space(31614803968, 29871751168)
    assert host.mount("/dev/sdc /var/lib/etcd ext4\n") == DISK


@pytest.mark.parametrize("read", [host.space, host.mount, host.properties])
def test_what_is_not_understood_is_an_error_of_one_kind(read: Any) -> None:
    for text in ("", "x", "a b c d\n", "1 x\n"):
        with pytest.raises(ValueError, match=r".+"):
            read(text)


def entry(**fields: str) -> str:
    return json.dumps({"level": "info", "ts": "x", **fields}, separators=(",", ":"))


START = entry(msg="Running: ")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([START, entry(level="fatal", msg="discovery failed", error="y")], "discovery failed: y"),
        ([entry(level="fatal", msg="old"), START, entry(msg="serving")], ""),
        ([START, entry(level="warn", msg="failed to verify flags", error="bad")], "failed to verify flags: bad"),
        (["2026-01-01 10:00:00 C | etcdmain: member abc has already been bootstrapped"],
         "etcdmain: member abc has already been bootstrapped"),
        ([START, entry(level="panic", msg="tocommit(9) is out of range [lastIndex(0)]"),
          "panic: tocommit(9) is out of range [lastIndex(0)]", "goroutine 1 [running]:"],
         "panic: tocommit(9) is out of range [lastIndex(0)]"),
        ([], ""),
    ],
)  # fmt: skip
def test_the_last_words_are_those_since_the_last_start(lines: Sequence[str], words: str) -> None:
    assert host.last_fatal("\n".join(lines)) == words


CAUSES = {
    BOOTSTRAPPED: "its data are gone",
    "tocommit(9) is out of range [lastIndex(0)]. Was the raft log corrupted, truncated, or lost?": "has no more",
    'couldn\'t find local name "x" in the initial cluster configuration': "not in its bootstrap list",
    "listen tcp 10.1.0.9:2380: bind: cannot assign requested address": "does not have",
    "--initial-cluster has a=http://1 but missing from --initial-advertise-peer-urls=http://2": "differ",
    "--initial-cluster must include a=http://10.1.0.1:2380 given --initial-advertise-peer-urls": "differ",
    "listen tcp 127.0.0.1:2379: bind: address already in use": "something else listens",
    "failed to allocate space when creating new WAL file: no space left on device": "its disk is full",
    "walpb: crc mismatch": "damaged",
    "the member has been permanently removed from the cluster": "has no more",
    "open /var/lib/etcd/member: permission denied": "may not use its data directory",
}


@pytest.mark.parametrize("words", CAUSES)
def test_every_known_end_has_a_cause_and_what_to_avoid(words: str) -> None:
    cause = explain(words)
    assert cause is not None
    assert CAUSES[words] in cause.why
    assert any(word in cause.remedy for word in ("wipe no", "delete nothing"))


def test_unknown_words_are_shown_as_they_are() -> None:
    assert explain("the moon is full") is None
    samples = spoilt(told(), 1, **DOWN, host=answered(facts(pid=0, environment=None, fatal="the moon is full")))
    assert "azure-prd-02 runs no etcd, etcd-member.service is active (running): the moon is full" in (
        verdict(samples).sentence
    )


ADDRESS = "127.0.31.231"
PEER, CLIENT = f"http://{ADDRESS}:2380", f"http://{ADDRESS}:2379"
WELL = {
    "name": "a", "initial-advertise-peer-urls": PEER, "listen-peer-urls": PEER, "listen-client-urls": CLIENT,
    "advertise-client-urls": CLIENT, "initial-cluster": f"a={PEER}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"initial-cluster": f"b={PEER}"}, "its own name is not in its bootstrap list"),
        ({"initial-advertise-peer-urls": f"http://{ADDRESS}:2381"}, "its own peer URL and the one in its bootstrap"),
        ({"listen-client-urls": "http://203.0.113.77:2379"}, "an address that this host does not have"),
        ({"heartbeat-interval": "500", "election-timeout": "1000"}, "etcd does not take its settings"),
    ],
)
def test_the_last_words_of_a_real_etcd_are_understood(tmp_path: Path, flags: dict[str, str], why: str) -> None:
    options = [f"--{name}={value}" for name, value in {**WELL, **flags, "data-dir": str(tmp_path / "d")}.items()]
    ended = subprocess.run([binary(), *options], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode
    cause = explain(host.last_fatal(ended.stderr))
    assert cause is not None, ended.stderr[-500:]
    assert why in cause.why


# Asking.

WELL_SAID = {
    "systemctl": "MainPID=600\nActiveState=active\nSubState=running\nNRestarts=0\nResult=success\nExecMainStatus=0\n",
    "pgrep": "700\n",
    "sudo": "ETCD_NAME=azure-prd-02\0ETCD_DATA_DIR=/data\0",
    "journalctl": START + "\n",
    "df": "size avail\n100 50\n",
    "findmnt": "/dev/sdc /data ext4\n",
    "date": "",
}


@dataclass
class Host:
    """A shell that says what it is told to."""

    said: dict[str, Any] = field(default_factory=dict)
    heard: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, *command: str, timeout: float = 30.0) -> Done:
        self.heard.append(command)
        answer = self.said.get(command[0], WELL_SAID[command[0]])
        if isinstance(answer, Exception):
            raise answer
        if command[0] == "date" and answer == "":
            answer = f"{time.time() + 7:.9f}\n"
        return answer if isinstance(answer, Done) else Done(0, answer, "")


def asked(**said: Any) -> tuple[Reply[HostFacts], Host]:
    one = Host(said)
    return host.ask(one, OnHost("etcd-member.service", "/var/lib/etcd"), time.monotonic() + 5), one


def test_all_is_asked_of_etcds_own_process_and_its_own_directory() -> None:
    reply, one = asked()
    assert reply.value is not None
    assert (reply.value.pid, reply.value.missing) == (700, {})
    assert ("sudo", "-n", "cat", "/proc/700/environ") in one.heard, "what systemd started is a wrapper"
    assert ("df", "-B1", "--output=size,avail", "/data") in one.heard, "where its data are, not where they should be"
    assert 6.5 < (reply.value.ahead or 0) < 7.5


def test_no_process_is_zero_and_its_environment_is_not_missed() -> None:
    reply, _ = asked(pgrep=Done(1, "", ""))
    assert reply.value is not None
    assert (reply.value.pid, reply.value.environment, reply.value.missing) == (0, None, {})


def test_without_pgrep_it_is_what_systemd_started() -> None:
    reply, _ = asked(pgrep=Done(127, "", "bash: pgrep: command not found"))
    assert reply.value is not None
    assert reply.value.pid == 600


def test_each_that_fails_is_missing_alone() -> None:
    reply, _ = asked(df=Done(1, "", "df: no such file"), sudo=Done(1, "", "sudo: a password is required"))
    assert reply.value is not None
    assert reply.value.missing == {
        "environment": "sudo ended with 1: sudo: a password is required", "space": "df ended with 1: df: no such file"
    }  # fmt: skip
    assert reply.value.mount == Mount("/dev/sdc", "/data", "ext4")


def test_one_that_hangs_costs_itself() -> None:
    reply, _ = asked(df=CommandTimedOut("running df", "it did not end within 3 s"))
    assert reply.value is not None
    assert reply.value.missing == {"space": "it did not end within 3 s"}


def test_a_lost_connection_is_no_answer_at_all() -> None:
    lost = NoSsh("running", "the connection was lost")
    reply, _ = asked(**dict.fromkeys(WELL_SAID, lost))
    assert (reply.outcome, reply.detail) == ("failed", "the connection was lost")


def test_no_time_is_said_to_be_that() -> None:
    one = Host()
    reply = host.ask(one, OnHost("u", "/d"), time.monotonic())
    assert (reply.outcome, reply.detail, one.heard) == ("failed", "the time was up", [])


AGAIN = Unit("activating", "auto-restart", "exit-code", 1)


@pytest.mark.parametrize(
    ("facts", "version", "found"),
    [
        (HostFacts(FAILED, 0, fatal="member count is unequal"), NOT_ASKED, "started again 5 times: member count is"),
        (HostFacts(Unit("failed", "failed", "signal", 9), 0, fatal=""), NOT_ASKED, "its unit is failed, ended by sig"),
        (HostFacts(AGAIN._replace(restarts=6), 0, fatal="panic"), NOT_ASKED, "started again 6 times: panic"),
        (HostFacts(AGAIN._replace(restarts=5), 0, fatal="panic"), NOT_ASKED, ""),  # it may come yet
        (HostFacts(Unit("inactive", "dead"), 0, fatal=""), NOT_ASKED, ""),  # it boots
        (HostFacts(RUNS, 700, fatal=""), NOT_ASKED, ""),
        (HostFacts(FAILED, 0, fatal="panic"), Reply("answered", "3.5.16"), ""),
    ],
)
def test_an_etcd_that_nothing_starts_any_more_has_ended(facts: HostFacts, version: Reply[str], found: str) -> None:
    told = ended(Sample(MEMBERS[0], host=answered(facts), version=version))
    assert found in told
    assert bool(found) == bool(told)
    assert not ended(Sample(MEMBERS[0])), "of whose host nothing is known"
