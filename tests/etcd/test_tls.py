"""TLS on real clusters and before fakes: what is well, and every way in which a certificate is not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from corelib.errors import BadInput
from corelib.etcd import answers, tls
from corelib.etcd.client import Connection
from corelib.etcd.crew import Crew
from corelib.etcd.identity import identities
from corelib.etcd.judge import Verdict
from corelib.etcd.samples import Reply
from corelib.etcd.secured import Secured
from corelib.etcd.way import closed, direct
from corelib.member import Member

from . import fakes
from .authority import Authority, Pair
from .clusters import TOKEN, Running, verify

OURS, OTHERS = Authority(), Authority("another CA")
OPERATOR = OURS.pair()
TRUST = tls.trust(OURS.ca, OPERATOR.certificate, OPERATOR.key)
FOUR = tuple(Member(f"azure-lab-0{n}", IPv4Address(f"127.0.33.{20 + n}"), "https") for n in range(1, 5))
EACH = "each of azure-lab-01, azure-lab-02, azure-lab-03 and azure-lab-04"
SOURCE = "127.0.0.1"  # where members on loopback seem to come from: etcd compares it with what their certificates name


def files(folder: Path, name: str, pair: Pair, ca: str = OURS.ca) -> dict[str, str]:
    """etcd's flags for a certificate on both ports."""
    texts = {"cert-file": pair.certificate, "key-file": pair.key, "trusted-ca-file": ca}
    flags = {"client-cert-auth": "true", "peer-client-cert-auth": "true"}
    for flag, text in texts.items():
        path = folder / f"{name}-{flag}.pem"
        path.write_text(text)
        flags |= {flag: str(path), f"peer-{flag}": str(path)}
    return flags


@pytest.fixture(scope="module")
def formed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("tls")
    flags = {member.name: files(folder, member.name, OURS.pair(str(member.address), SOURCE)) for member in FOUR}
    running = Running(folder, members=FOUR, flags=flags, trust=TRUST)
    try:
        running.wait()
        yield running
    finally:
        running.end()


@pytest.fixture
def cluster(formed: Running) -> Running:
    formed.heal()
    return formed


def rows(verdict: Verdict, check: str) -> dict[str, str]:
    return {row.member: row.state for row in verdict.rows if row.check == check}


def test_a_healthy_cluster_over_tls_is_healthy(cluster: Running) -> None:
    for _ in range(5):
        verdict = verify(FOUR, trust=TRUST)
        assert verdict.healthy, verdict.sentence
    assert verdict.findings.ok
    assert "certificate" not in str(verdict.findings)
    assert identities(FOUR, TOKEN) != identities([member._replace(scheme="http") for member in FOUR], TOKEN)


def test_a_certificate_that_expires_soon_is_told_with_its_date(cluster: Running) -> None:
    victim = FOUR[3]
    cluster.kill(victim)
    day = datetime.now(UTC) + timedelta(days=12)
    pair = OURS.pair(str(victim.address), SOURCE, days=(-1, 12))
    cluster.start(victim, **dashed(files(cluster.folder, "soon", pair)))
    verdict = settled(cluster)
    cluster.kill(victim)
    assert verdict.healthy, verdict.sentence
    told = [(f.severity, f.where, f.message) for f in verdict.findings if "certificate" in f.message]
    assert told == [("warning", victim.name, f"its certificate expires on {day:%Y-%m-%d}, in 12 days")]


def dashed(flags: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in flags.items()}


def settled(cluster: Running) -> Verdict:
    """The verdict once a member that was just started serves."""
    for _ in range(50):
        verdict = verify(FOUR, trust=TRUST, patience_s=2.0)
        if verdict.healthy:
            break
        time.sleep(0.1)
    return verdict


def days(number: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=number):%Y-%m-%d}"


WRONG = [
    (OURS.pair("127.0.33.24", SOURCE, days=(-9, -2)), "expired on {}"),
    (OURS.pair("127.0.33.24", SOURCE, days=(2, 9)), "is not valid before {}"),
    (OURS.pair("127.0.33.99", SOURCE), "is for 127.0.33.99 127.0.0.1, not for 127.0.33.24"),
    (OTHERS.pair("127.0.33.24", SOURCE), "is signed by another CA than the given one"),
]


@pytest.mark.parametrize(("pair", "words"), WRONG, ids=["expired", "not yet", "other name", "other CA"])
@pytest.mark.parametrize("on", ["client", "both"])
def test_a_certificate_that_cannot_be_accepted_is_said_to_be_that(
    cluster: Running, pair: Pair, words: str, on: str
) -> None:
    """On its client port alone a member serves its peers still; on both it cannot join them, and the peer port tells."""
    victim = FOUR[3]
    cluster.kill(victim)
    wrong = files(cluster.folder, "wrong", pair)
    chosen = wrong if on == "both" else {k: v for k, v in wrong.items() if not k.startswith("peer")}
    cluster.start(victim, **dashed(chosen))
    words = words.format(days(-2 if "expired" in words else 2))
    begun = time.monotonic()
    while words not in (verdict := verify(FOUR, trust=TRUST, patience_s=1.0)).sentence:
        assert time.monotonic() - begun < 20, verdict.sentence
    cluster.kill(victim)
    rest = (
        f"that {words}; 3 of 4: no further loss tolerated; bring {victim.name} a certificate of the cluster's CA for "
        f"{victim.address} that is valid now, and restart etcd there only; do not wipe its data"
    )
    at = [f"{victim.name}: it shows a certificate at {victim.address}:{port} {rest}" for port in (2379, 2380)]
    assert verdict.sentence in (at if on == "both" else at[:1])  # before it gives up to join, it listens to nobody
    assert [f.where for f in verdict.findings.errors if "certificate" in f.message] == [victim.name]
    assert rows(verdict, "client port") == {m.name: "failed" if m == victim else "passed" for m in FOUR}


OTHER_OPERATOR, OLD_OPERATOR = OTHERS.pair(), OURS.pair(days=(-9, -2))


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        (tls.trust(OURS.ca), "none was given"),
        (tls.trust(OURS.ca, OTHER_OPERATOR.certificate, OTHER_OPERATOR.key), "it does not accept ours"),
        (tls.trust(OURS.ca, OLD_OPERATOR.certificate, OLD_OPERATOR.key), "it does not accept ours"),
    ],
)
def test_a_missing_or_wrong_client_certificate_is_ours_to_mend(cluster: Running, trust: tls.Trust, words: str) -> None:
    for _ in range(20):  # the refusal may come after the handshake, and race with the end of the connection
        verdict = verify(FOUR, trust=trust, patience_s=1.0)
        first = f"not proven healthy: azure-lab-01: it wants a client certificate at 127.0.33.21:2379, and {words}"
        assert verdict.sentence.startswith(first), verdict.sentence
        assert verdict.kind == "unproven"
        assert {row.state for row in verdict.rows} == {"not checked"}
        assert "name a certificate and key that the cluster's CA has signed in etcd.tls" in verdict.sentence


def test_the_wrong_ca_is_ours_or_theirs_and_nothing_is_restarted(cluster: Running) -> None:
    verdict = verify(FOUR, trust=tls.trust(OTHERS.ca, OPERATOR.certificate, OPERATOR.key), patience_s=1.0)
    assert verdict.sentence.startswith(
        "no member answers: the certificates of all of them are refused: read the table for why, and restart nothing"
    )
    assert all(
        "is signed by another CA than the given one" in row.found for row in verdict.rows if row.check == "client port"
    )


def test_tls_where_plain_http_is_expected(cluster: Running) -> None:
    plain = tuple(member._replace(scheme="http") for member in FOUR)
    verdict = verify(plain, patience_s=1.0)
    assert verdict.sentence.startswith(
        "no member answers: all speak TLS, and plain http is expected: name their CA and a certificate in etcd.tls"
    )
    row = next(row for row in verdict.rows if row.check == "client port")
    assert row.problem == "azure-lab-01: a TLS server answers at 127.0.33.21:2379, where plain http is expected"
    assert row.state == "failed"


def test_plain_http_where_tls_is_expected(shared: Running) -> None:
    shared.heal()
    verdict = verify(tuple(member._replace(scheme="https") for member in shared.members), trust=TRUST, patience_s=1.0)
    assert verdict.sentence.startswith(
        "no member answers: all speak plain http, and TLS is expected: were they rendered before etcd.tls was set?"
    )
    row = next(row for row in verdict.rows if row.check == "client port")
    at = f"{shared.members[0].address}:2379"
    assert row.problem == f"azure-lab-01: a plain http server answers at {at}, where TLS is expected"


ADDRESS = "127.0.34.50"
SERVER = OURS.pair(ADDRESS)


def secured(talk: fakes.Talk, tmp: Path, pair: Pair = SERVER, *, version: int | None = None) -> fakes.Talk:
    """The same over TLS, with a server of the standard library's."""
    path = tmp / "server.pem"
    path.write_text(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    if version is not None:
        context.maximum_version = ssl.TLSVersion(version)

    def over_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inner:
            talk(inner)

    return over_tls


def ask(trust: tls.Trust | None, patience: float = 0.4) -> Reply[str]:
    line = Connection(ADDRESS, 2379) if trust is None else Secured(ADDRESS, 2379, trust)
    try:
        return line.version(time.monotonic() + patience)
    finally:
        line.close()


@pytest.mark.parametrize(
    ("talk", "outcome", "detail"),
    [
        (fakes.page("200 OK", "application/json", b'{"etcdserver":"3.5.1"}'), "answered", ""),
        (fakes.page("200 OK", "text/html", b"<html>It works!</html>"), "not etcd", "It works!"),
        (fakes.says(b""), "broken", ""),
        (fakes.sink, "mute", ""),
        (fakes.trickle, "not etcd", "does not end"),
        (fakes.flood, "not etcd", "longer than 1 MiB"),
        (fakes.header_flood, "not etcd", "interim answers, and no other"),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_deadline_and_the_budget_hold_over_tls(
    talk: fakes.Talk, outcome: str, detail: str, version: int, tmp_path: Path
) -> None:
    with fakes.listener(ADDRESS, 2379, secured(talk, tmp_path, version=version)):
        begun = time.monotonic()
        reply = ask(TRUST, 1.0)
        assert time.monotonic() - begun < 3
    assert (reply.outcome, reply.value is not None) == (outcome, outcome == "answered")
    assert detail in reply.detail
    if outcome == "answered":
        assert reply.certificate is not None
        assert 364 < reply.certificate.left / 86400 < 366


def slow_hello(connection: socket.socket) -> None:
    """The beginning of a handshake record, and a byte of it now and then, for ever."""
    connection.recv(65536)
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while True:
        connection.sendall(b"\x02")
        time.sleep(0.02)


@pytest.mark.parametrize("talk", [fakes.sink, slow_hello])
def test_a_handshake_that_does_not_end_is_mute(talk: fakes.Talk) -> None:
    with fakes.listener(ADDRESS, 2379, talk):
        begun = time.monotonic()
        reply = ask(TRUST)
        assert 0.3 < time.monotonic() - begun < 2
    assert reply.outcome == "mute"


@pytest.mark.parametrize(
    ("talk", "outcome"),
    [
        (fakes.page("400 Bad Request", "text/plain", b"no"), "speaks plain"),
        (fakes.says(b"SSH-2.0-OpenSSH_9.6\r\n"), "not etcd"),
        (fakes.says(b""), "broken"),
        (fakes.flood, "speaks plain"),
    ],
)
def test_what_does_not_speak_tls_has_its_outcome(talk: fakes.Talk, outcome: str) -> None:
    with fakes.listener(ADDRESS, 2379, talk):
        assert ask(TRUST, 2.0).outcome == outcome


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_any_tls_server_is_known_where_plain_http_is_expected(version: int, tmp_path: Path) -> None:
    with fakes.listener(ADDRESS, 2379, secured(fakes.sink, tmp_path, version=version)):
        assert ask(None, 2.0).outcome == "speaks TLS"


def test_no_request_reaches_a_server_that_is_not_trusted(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def hear(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            heard.append(connection.recv(65536))

    for pair in (OTHERS.pair(ADDRESS), OURS.pair("127.0.34.51"), OURS.pair(ADDRESS, days=(-9, -2))):
        with fakes.listener(ADDRESS, 2379, secured(hear, tmp_path, pair)):
            line = Secured(ADDRESS, 2379, TRUST)
            line.authorize("token of a user")
            reply = line.post("/v3/auth/authenticate", {"password": "open sesame"}, answers.token, time.monotonic() + 2)
            line.close()
        assert reply.outcome == "bad certificate"
    assert not any(heard), "a certificate is looked at once more, and nothing is said"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("no PEM", "", ""), "etcd's CA is no certificate in PEM"),
        ((OURS.ca, "no PEM", OPERATOR.key), "the client certificate and its key cannot be used"),
        ((OURS.ca, OPERATOR.certificate, OTHER_OPERATOR.key), "KEY_VALUES_MISMATCH"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(given: tuple[str, str, str], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        tls.trust(*given)
    assert words in str(refused.value)
    assert "etcd.tls" in str(refused.value)
    assert OPERATOR.key.splitlines()[1] not in str(refused.value)


def test_a_key_with_a_passphrase_asks_nobody() -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - for this test only

    key = serialization.load_pem_private_key(OPERATOR.key.encode(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    with pytest.raises(BadInput, match="passphrase"):
        tls.trust(OURS.ca, OPERATOR.certificate, locked.decode())


def test_a_reply_without_tls_has_no_certificate() -> None:
    with fakes.listener(ADDRESS, 2379, fakes.page("200 OK", "application/json", b'{"etcdserver":"3.5.1"}')):
        assert ask(None)._replace(seconds=0, ahead=None) == Reply("answered", "3.5.1")


def test_one_that_talks_without_end_keeps_nobody_from_his_turn(tmp_path: Path) -> None:
    """A record of a few bytes after the other: there is always something to be read, and never an end of it."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"a" * 16)

    def well(connection: socket.socket) -> None:
        time.sleep(0.1)
        fakes.page("200 OK", "application/json", b'{"etcdserver":"3.5.1"}')(connection)

    others = "127.0.34.53"
    (tmp_path / "well").mkdir()
    with (
        fakes.listener(ADDRESS, 2379, secured(talk, tmp_path)),
        fakes.listener(others, 2379, secured(well, tmp_path / "well", OURS.pair(others))),
    ):
        crew, until = Crew(), time.monotonic() + 1.5
        lines = [Secured(address, 2379, TRUST, turns=crew) for address in (ADDRESS, others)]
        loud, quiet = (crew.start(partial(line.version, until)) for line in lines)
        assert (quiet.result().outcome, loud.result().outcome) == ("answered", "not etcd")
        assert quiet.result().seconds < 1
        for line in lines:
            line.close()


def test_tls_goes_through_any_way(tmp_path: Path) -> None:
    """Whoever carries the bytes: here a relay at another address, and the certificate is still the member's."""
    page = fakes.page("200 OK", "application/json", b'{"etcdserver":"3.5.1"}')
    with fakes.listener("127.0.34.52", 2379, secured(page, tmp_path)):
        line = Secured(ADDRESS, 2379, TRUST, direct("127.0.34.52"))
        reply = line.version(time.monotonic() + 2)
        line.close()
    assert (reply.outcome, reply.value) == ("answered", "3.5.1")


def test_a_member_whose_host_is_not_reached_was_not_asked() -> None:
    line = Secured(ADDRESS, 2379, TRUST, closed("no host"))
    assert line.version(time.monotonic() + 2).outcome == "not asked"
