"""The client alone, against a server that answers what it is told to: errors, limits, silence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from corelib.hetzner.errors import (
    Conflict,
    LoginRefused,
    NoAnswer,
    NotFound,
    RateLimited,
    Rejected,
    ResetUnknown,
    RobotError,
)
from corelib.hetzner.robot import Robot
from corelib.ssh import md5

SERVER = {
    "server_ip": "192.0.2.1", "server_number": 321, "server_name": "ded", "product": "EX44", "dc": "FSN1",
    "status": "ready", "cancelled": False,
}  # fmt: skip


class Scripted(ThreadingHTTPServer):
    """Answers in their order; None hangs up without one. The last one is repeated."""

    answers: list[tuple[int, Any] | None]
    seen: list[tuple[str, str, str]]

    def next(self) -> tuple[int, Any] | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.seen.append((self.command, self.path, body))
        answer = self.server.next()
        if answer is None:
            return
        content = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_DELETE = do_GET  # noqa: N815 - the names that the base class looks for

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted(("127.0.13.10", 0), Handler)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def robot(server: Scripted, *answers: tuple[int, Any] | None, patience: float = 5, **more: Any) -> Robot:
    server.answers = list(answers)
    where = f"http://127.0.13.10:{server.server_address[1]}"
    return Robot(where, "user", "secret-word", patience=patience, **more)


def error(status: int, code: str, **more: Any) -> tuple[int, Any]:
    return status, {"error": {"status": status, "code": code, "message": "in Robot's words", **more}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(401, "UNAUTHORIZED"), LoginRefused),
        (error(404, "SERVER_NOT_FOUND"), NotFound),
        (error(409, "BOOT_ALREADY_ENABLED"), Conflict),
        (error(409, "RESET_MANUAL_ACTIVE"), Conflict),
        (error(400, "INVALID_INPUT", missing=["os"]), Rejected),
        (error(500, "BOOT_ACTIVATION_FAILED"), Rejected),
        ((200, b"<html>"), Rejected),
    ],
)
def test_a_refusal_is_asked_for_once_and_told_in_words(scripted: Scripted, answer: Any, kind: type[RobotError]) -> None:
    with pytest.raises(kind) as caught:
        robot(scripted, answer).rescue(321)
    assert len(scripted.seen) == 1
    assert "GET /boot/321/rescue" in caught.value.doing
    assert "secret-word" not in str(caught.value)


def test_a_refused_login_says_what_three_failures_do(scripted: Scripted) -> None:
    with pytest.raises(LoginRefused, match="three failures block this address for 10 minutes"):
        robot(scripted, error(401, "UNAUTHORIZED")).servers()


def test_what_is_missing_is_named(scripted: Scripted) -> None:
    with pytest.raises(Rejected, match=r"missing: \['os'\]"):
        robot(scripted, error(400, "INVALID_INPUT", missing=["os"], invalid=None)).arm_rescue(321, "aa:bb")


def test_a_limit_is_waited_for_as_it_says(scripted: Scripted) -> None:
    limit = error(403, "RATE_LIMIT_EXCEEDED", max_request=200, interval=0.2)
    said: list[str] = []
    begun = time.monotonic()
    servers = robot(scripted, limit, (200, [{"server": SERVER}])).telling(said.append).servers()
    assert time.monotonic() - begun >= 0.2
    assert [server.number for server in servers] == [321]
    assert len(scripted.seen) == 2
    assert said == ["GET /server at Robot: the limit of 200 requests is used up for up to 0 s; waiting for that"]


def test_a_limit_beyond_the_deadline_is_an_error(scripted: Scripted) -> None:
    with pytest.raises(RateLimited, match="200 requests is used up for up to 3600 s"):
        robot(scripted, error(403, "RATE_LIMIT_EXCEEDED", max_request=200, interval=3600), queue=600).servers()
    assert len(scripted.seen) == 1


@pytest.mark.parametrize("silence", [None, error(503, "MAINTENANCE"), (502, b"bad gateway")])
def test_a_get_is_tried_again(scripted: Scripted, silence: Any) -> None:
    assert robot(scripted, silence, (200, [])).servers() == ()
    assert len(scripted.seen) == 2


def test_a_get_ends_with_the_patience(scripted: Scripted) -> None:
    with pytest.raises(NoAnswer, match="not available"):
        robot(scripted, error(503, "MAINTENANCE"), patience=0.3).servers()
    assert len(scripted.seen) == 1


@pytest.mark.parametrize("silence", [None, (502, b"bad gateway")])
def test_a_reset_whose_answer_is_lost_is_never_sent_twice(scripted: Scripted, silence: Any) -> None:
    with pytest.raises(ResetUnknown, match="before anything is sent again"):
        robot(scripted, silence).reset(321)
    assert scripted.seen == [("POST", "/reset/321", "type=hw")]


def test_a_reset_that_robot_did_not_do_is_sent_again(scripted: Scripted) -> None:
    robot(scripted, error(503, "MAINTENANCE"), (200, {})).reset(321, "sw")
    assert scripted.seen == [("POST", "/reset/321", "type=sw")] * 2


def test_but_not_where_the_machine_goes_down(scripted: Scripted) -> None:
    robot(scripted, error(503, "MAINTENANCE")).reset(321, "sw", lambda: True)
    assert len(scripted.seen) == 1


def test_and_not_for_ever(scripted: Scripted) -> None:
    with pytest.raises(NoAnswer, match="503 MAINTENANCE"):
        robot(scripted, error(503, "MAINTENANCE"), patience=1.0).reset(321)
    assert len(scripted.seen) == 2


ARMED = {"rescue": {"active": True, "authorized_key": [{"key": {"fingerprint": "aa:bb"}}]}}
IDLE = {"rescue": {"active": False}}
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINQ1NTE5AAAAINQ1NTE5AAAAINQ1NTE5AAAAINQ1NTE5 me"
KEY = {"key": {"fingerprint": md5(PUBLIC), "name": "me"}}


@pytest.mark.parametrize("silence", [None, error(503, "MAINTENANCE")])
@pytest.mark.parametrize(
    ("change", "look", "undone", "done"),
    [
        (lambda client: client.arm_rescue(321, "aa:bb"), "/boot/321/rescue", IDLE, ARMED),
        (lambda client: client.disarm_rescue(321), "/boot/321/rescue", ARMED, IDLE),
        (lambda client: client.add_key("me", PUBLIC), "/key", [], [KEY]),
        (lambda client: client.delete_key(KEY["key"]["fingerprint"]), "/key", [KEY], []),
    ],
)
def test_a_change_is_asked_for_again_only_where_it_was_not_made(
    scripted: Scripted, silence: Any, change: Any, look: str, undone: Any, done: Any
) -> None:
    change(robot(scripted, silence, (200, undone), (200, {})))
    asked = [method for method, _, _ in scripted.seen]
    assert asked[1:2] == ["GET"]
    assert asked[0] == asked[2] != "GET"
    assert scripted.seen[1][1] == look

    scripted.seen.clear()
    change(robot(scripted, silence, (200, done)))
    assert len(scripted.seen) == 2, "asked, and looked"


def test_forms_are_as_robot_reads_them(scripted: Scripted) -> None:
    robot(scripted, (200, {})).arm_rescue(321, "aa:bb")
    assert scripted.seen == [("POST", "/boot/321/rescue", "os=linux&authorized_key%5B%5D=aa%3Abb")]


def test_an_empty_answer_to_a_deletion_is_fine(scripted: Scripted) -> None:
    robot(scripted, (200, b"")).disarm_rescue(321)


def test_fingerprints_are_read_in_every_spelling(scripted: Scripted) -> None:
    keys = [{"key": {"fingerprint": spelling}} for spelling in ("SHA256:abc=", "def")]
    answer = {"rescue": {"active": False, "boot_time": "2026-01-01 00:00:00", "host_key": keys}}
    last = robot(scripted, (200, answer)).last_rescue(321)
    assert last is not None
    assert last.host_keys == {"SHA256:abc", "SHA256:def"}


def test_no_activation_yet(scripted: Scripted) -> None:
    assert robot(scripted, error(404, "NOT_FOUND")).last_rescue(321) is None


def test_a_server_is_woken_by_one_packet(scripted: Scripted) -> None:
    place = {"server_ip": "192.0.2.1", "server_ipv6_net": "2001:db8::", "server_number": 321}
    client = robot(scripted, (200, {"wol": place}))
    assert client.wakes(321)
    client.wake(321)
    assert scripted.seen == [("GET", "/wol/321", ""), ("POST", "/wol/321", "")]


def test_a_server_that_cannot_be_woken(scripted: Scripted) -> None:
    client = robot(scripted, error(404, "WOL_NOT_AVAILABLE"))
    assert not client.wakes(321)
    with pytest.raises(NotFound) as caught:
        client.wake(321)
    assert "press its power button" in caught.value.remedy


def test_a_server_that_is_not_there_is_not_one_that_cannot_be_woken(scripted: Scripted) -> None:
    with pytest.raises(NotFound, match="SERVER_NOT_FOUND"):
        robot(scripted, error(404, "SERVER_NOT_FOUND")).wakes(321)


@pytest.mark.parametrize(
    ("answer", "kind"), [(error(500, "WOL_FAILED"), Rejected), (None, NoAnswer), (error(503, "MAINTENANCE"), NoAnswer)]
)
def test_a_packet_is_sent_once(scripted: Scripted, answer: Any, kind: type[RobotError]) -> None:
    with pytest.raises(kind):
        robot(scripted, answer).wake(321)
    assert scripted.seen == [("POST", "/wol/321", "")]


def test_no_server_there(scripted: Scripted) -> None:
    client = robot(scripted, (200, []), patience=0.2)
    scripted.shutdown()
    scripted.server_close()
    with pytest.raises(NoAnswer, match="no connection"):
        client.servers()
