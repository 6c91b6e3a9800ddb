"""etcd's own authentication on a real cluster: what is asked without a user, with a wrong one, and with the right one."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from corelib.etcd import answers
from corelib.etcd.canary import base64_of
from corelib.etcd.client import Connection
from corelib.etcd.credentials import Credentials
from corelib.etcd.judge import Verdict, judge
from corelib.member import Member

from . import fakes
from .clusters import Running, intended, look, verify

FOUR = tuple(Member(f"azure-lab-0{n}", IPv4Address(f"127.0.33.{40 + n}")) for n in range(1, 5))
EACH = "each of azure-lab-01, azure-lab-02, azure-lab-03 and azure-lab-04"
ROOT, VERIFIER = Credentials("root", "root-password"), Credentials("verifier", "open-sesame")
STRANGER, WRONG = Credentials("stranger", "stranger-password"), Credentials("verifier", "wrong-password")


def call(path: str, content: dict[str, Any], token: str = "") -> dict[str, Any]:
    request = urllib.request.Request(f"{FOUR[0].client_url}{path}", json.dumps(content).encode())  # noqa: S310
    if token:
        request.add_header("Authorization", token)
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
        return dict(json.load(answer))


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("auth"), members=FOUR)
    try:
        running.wait()
        for one in (ROOT, VERIFIER, STRANGER):
            call("/v3/auth/user/add", {"name": one.user, "password": one.password})
            call("/v3/auth/role/add", {"name": one.user})
            call("/v3/auth/user/grant", {"user": one.user, "role": one.user})
        place = {"key": base64_of("/_runbooks/"), "range_end": base64_of("/_runbooks0"), "permType": "READWRITE"}
        call("/v3/auth/role/grant", {"name": VERIFIER.user, "perm": place})
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def guarded(open_to_all: Running) -> Iterator[Running]:
    call("/v3/auth/enable", {})
    try:
        yield open_to_all
    finally:
        token = call("/v3/auth/authenticate", {"name": ROOT.user, "password": ROOT.password})["token"]
        call("/v3/auth/disable", {}, token)


def states(verdict: Verdict, *checks: str) -> set[str]:
    return {row.state for row in verdict.rows if row.check in checks}


def test_a_user_where_authentication_is_off_is_told(open_to_all: Running) -> None:
    verdict = verify(FOUR, credentials=VERIFIER)
    assert verdict.healthy, verdict.sentence
    assert "etcd's authentication is off: whoever reaches it can read and write" in str(verdict.findings)
    assert "authentication" not in str(verify(FOUR).findings)


@pytest.mark.parametrize("given", [VERIFIER, ROOT])
def test_the_right_user_makes_it_healthy(guarded: Running, given: Credentials) -> None:
    for _ in range(3):
        verdict = verify(FOUR, credentials=given)
        assert verdict.healthy, verdict.sentence
    assert "credentials" not in str(verdict.findings)
    assert given.password not in repr(verdict)


@pytest.mark.parametrize(
    ("given", "words", "remedy"),
    [
        (
            None,
            "asks for credentials, and none are given",
            "name a user and the reference to its password in etcd.login",
        ),
        (WRONG, "refuses the given user or its password", "correct etcd.login (user and password), and verify again"),
        (Credentials("nobody", "wrong-password"), "refuses the given user or its password", "correct etcd.login"),
        (STRANGER, "does not let the given user do this", "etcdctl role grant-permission ROLE --prefix=true readwrite"),
    ],
)
def test_who_is_not_let_in_calls_nobody_ill(
    guarded: Running, given: Credentials | None, words: str, remedy: str
) -> None:
    begun = time.monotonic()
    samples = look(FOUR, credentials=given)
    assert time.monotonic() - begun < 3, "no election mends a password"
    verdict = judge(intended(FOUR), samples)
    assert verdict.kind == "unproven"
    assert verdict.sentence.startswith(f"not proven healthy: {EACH} {words}; unknown: 4 of 4 voters answer"), (
        verdict.sentence
    )
    assert remedy in verdict.sentence
    assert states(verdict, "reads", "canary", "data") == {
        "not checked"
    }  # who asks for alarms, etcd 3.4 and 3.5 do not ask
    assert states(verdict, "identity", "client port", "peer port", "member list", "leader") == {"passed"}
    assert not verdict.findings.errors
    for secret in (VERIFIER.password, WRONG.password, STRANGER.password):
        assert secret not in repr((samples, verdict, given))


def test_a_lost_quorum_is_told_although_nobody_can_log_in(guarded: Running) -> None:
    for victim in FOUR[2:]:
        guarded.kill(victim)
    try:
        verdict = verify(FOUR, credentials=VERIFIER, patience_s=1.0)
    finally:
        guarded.how = {"credentials": VERIFIER}
        guarded.heal()
    lost = "quorum lost: 2 of 4, needs 3: restart azure-lab-03 or azure-lab-04; do not wipe"
    assert (verdict.kind, verdict.margin) == ("unhealthy", lost)


def test_a_server_that_says_the_password_back_does_not_get_it_into_a_report() -> None:
    def parrot(connection: socket.socket) -> None:
        request = connection.recv(65536).decode()
        body = json.dumps({"error": f"you said {request}"}).encode()
        head = b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)

    for header in ("", "token-of-a-user", VERIFIER.basic):
        with fakes.listener("127.0.34.60", 2379, parrot):
            line = Connection("127.0.34.60", 2379)
            line.authorize(header, VERIFIER.password)
            path = f"/v3/{VERIFIER.password}"  # as near to the beginning of its words as it can be
            reply = line.post(path, {"password": VERIFIER.password}, answers.token, time.monotonic() + 2)
            line.close()
        assert reply.outcome == "failed"
        assert "[hidden]" in reply.detail
        assert VERIFIER.password[:8] not in reply.detail


def test_no_token_can_add_a_header() -> None:
    body = json.dumps({"header": {"cluster_id": "1"}, "token": "a\r\nX-Evil: 1"}).encode()
    with fakes.listener("127.0.34.60", 2379, fakes.page("200 OK", "application/json", body)):
        line = Connection("127.0.34.60", 2379)
        reply = line.post("/v3/auth/authenticate", {}, answers.token, time.monotonic() + 2)
        line.close()
    assert (reply.outcome, reply.value) == ("not etcd", None)


def test_credentials_show_no_password() -> None:
    assert repr(VERIFIER) == "Credentials(user='verifier')"
