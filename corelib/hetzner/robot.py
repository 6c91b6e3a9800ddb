"""Robot's web service: a thin typed client. Source: https://robot.hetzner.com/doc/webservice/en.html."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import requests
from requests.adapters import HTTPAdapter

from ..ssh import md5
from .clock import Clock
from .errors import Conflict, LoginRefused, NoAnswer, NotFound, RateLimited, Rejected, ResetUnknown, RobotError
from .facts import Rescue, Server
from .loopback import is_loopback

T = TypeVar("T")

Form = Mapping[str, str | list[str]]

_AT_ONCE = 64  # connections that are kept
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between tries
_KINDS: dict[int, type[RobotError]] = {404: NotFound, 409: Conflict}
_MAINTENANCE = 503
_RESET_HINT = "look at the machine (Robot, vKVM) before anything is sent again"


Say = Callable[[str], None]


class Robot:
    """One account. While Robot is silent or in maintenance it is asked again, and after a refused login never.

    A change is asked for again only after a look that finds it not made. Where the rate is limited it waits as it is
    told, and says so to `say`, for at most `queue` seconds.
    """

    def __init__(  # noqa: PLR0913 - a client has as many knobs
        self,
        base_url: str,
        user: str,
        password: str,
        verify: bool | str = True,
        *,
        patience: float = 60.0,
        queue: float = 7200.0,
        clock: Clock = Clock(),  # noqa: B008 - frozen
        say: Say = lambda _: None,
    ) -> None:
        """`verify` is a CA file, or True for the system's; `patience` in seconds bounds all tries of one request."""
        self.base_url = base_url.rstrip("/")
        self._session = requests.Session()
        self._session.mount("https://", HTTPAdapter(pool_maxsize=_AT_ONCE))
        self._session.auth = (user, password)
        self._session.trust_env = not is_loopback(base_url)  # a proxy or CA of the environment is not for a lab
        self._verify = verify
        self._patience, self._queue = patience, queue
        self._clock, self._say = clock, say

    def telling(self, say: Say) -> Robot:
        """The same client, which says to somebody else what it waits for."""
        other = copy.copy(self)
        other._say = say  # noqa: SLF001 - a copy of itself
        return other

    def queueing(self, seconds: float) -> Robot:
        """The same client, which waits for so long where the rate is limited."""
        other = copy.copy(self)
        other._queue = seconds  # noqa: SLF001 - a copy of itself
        return other

    def servers(self) -> tuple[Server, ...]:
        """Every server of the account. Raises RobotError, as all methods do."""
        try:
            return tuple(_server(one["server"]) for one in self._get("/server"))
        except NotFound:  # Robot's answer where there is none at all
            return ()

    def rescue(self, number: int) -> Rescue:
        """The rescue system's configuration now."""
        return _rescue(self._get(f"/boot/{number}/rescue")["rescue"])

    def last_rescue(self, number: int) -> Rescue | None:
        """The last activation, with the host keys of the boot that it led to; None if there was none."""
        try:
            return _rescue(self._get(f"/boot/{number}/rescue/last")["rescue"])
        except NotFound:
            return None

    def arm_rescue(self, number: int, key: str) -> None:
        """The next boot is the rescue system's; `key` is the MD5 fingerprint of a key that Robot has."""

        def armed() -> bool:
            now = self.rescue(number)
            return now.active and key in now.keys

        form: Form = {"os": "linux", "authorized_key[]": [key]}
        self._again(lambda: self._send("POST", f"/boot/{number}/rescue", form), armed)

    def disarm_rescue(self, number: int) -> None:
        """The next boot is from the disk."""
        self._again(lambda: self._send("DELETE", f"/boot/{number}/rescue"), lambda: not self.rescue(number).active)

    def reset(
        self, number: int, kind: Literal["sw", "hw"] = "hw", happened: Callable[[], bool] = lambda: False
    ) -> None:
        """Reset the server. Robot's "in maintenance" is a no: asked again, unless `happened` sees that it was done.

        Raises ResetUnknown where no answer came: it must not be sent again blindly.
        """

        def press() -> None:
            try:
                self._send("POST", f"/reset/{number}", {"type": kind})
            except NoAnswer as problem:
                if problem.status == _MAINTENANCE:
                    raise
                raise ResetUnknown(f"resetting server {number}", problem.found, _RESET_HINT) from None

        self._again(press, happened)

    def resets(self, number: int) -> tuple[str, ...]:
        """The kinds of reset that a server offers: sw (Ctrl-Alt-Del), hw (the button), and others."""
        return tuple(self._get(f"/reset/{number}")["reset"]["type"])

    def wakes(self, number: int) -> bool:
        """Whether a server that is off can be woken over the LAN."""
        try:
            self._get(f"/wol/{number}")
        except NotFound as problem:
            if problem.code == "WOL_NOT_AVAILABLE":
                return False
            raise
        return True

    def wake(self, number: int) -> None:
        """Send a Wake-on-LAN packet: a server that is off boots, one that runs does not care; 10 in an hour."""
        self._send("POST", f"/wol/{number}")

    def key_names(self) -> dict[str, str]:
        """The names of the account's SSH keys by MD5 fingerprint."""
        try:
            return {one["key"]["fingerprint"]: one["key"]["name"] for one in self._get("/key")}
        except NotFound:
            return {}

    def add_key(self, name: str, public: str) -> str:
        """Upload a public key in OpenSSH format; returns its MD5 fingerprint."""
        fingerprint = md5(public)
        form: Form = {"name": name, "data": public}
        self._again(lambda: self._send("POST", "/key", form), lambda: fingerprint in self.key_names())
        return fingerprint

    def delete_key(self, fingerprint: str) -> None:
        """Delete a key."""
        self._again(lambda: self._send("DELETE", f"/key/{fingerprint}"), lambda: fingerprint not in self.key_names())

    def _get(self, path: str) -> Any:
        return self._again(lambda: self._send("GET", path))

    def _again(self, ask: Callable[[], T], done: Callable[[], bool] = lambda: False) -> T | None:
        """Ask, again while Robot is silent or in maintenance, as long as `patience` lasts; None if `done` by then."""
        deadline = self._clock.now() + self._patience
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                return ask()
            except NoAnswer as problem:
                if self._clock.now() + pause > deadline:
                    raise
                self._say(f"{problem.doing}: {problem.found}: asking again")
                self._clock.sleep(pause)
            if done():
                return None
        raise AssertionError("the deadline ends the loop")

    def _send(self, method: str, path: str, form: Form | None = None) -> Any:
        """One request; where the rate is limited it waits as it is told, and says so."""
        doing, deadline = f"{method} {path} at Robot", self._clock.now() + self._queue
        while True:
            answer = self._ask(method, path, form, doing)
            if answer.ok:
                return _content(answer, doing)
            error = _error(answer)
            if error.get("code") != "RATE_LIMIT_EXCEEDED":
                raise _refusal(answer.status_code, error, doing)
            wait = float(error.get("interval") or 60)
            found = f"the limit of {error.get('max_request')} requests is used up for up to {wait:.0f} s"
            if self._clock.now() + wait > deadline:
                raise RateLimited(doing, found, "wait, then run again", 403, "RATE_LIMIT_EXCEEDED")
            self._say(f"{doing}: {found}; waiting for that")
            self._clock.sleep(wait)

    def _ask(self, method: str, path: str, form: Form | None, doing: str) -> requests.Response:
        url = f"{self.base_url}{path}"
        try:
            return self._session.request(
                method, url, data=form, timeout=(10, 30), verify=self._verify, allow_redirects=False
            )
        except requests.exceptions.RequestException as problem:
            cause = _cause(problem)
            raise NoAnswer(doing, cause, f"check that {self.base_url} can be reached from here") from None


def _server(shown: Mapping[str, Any]) -> Server:
    return Server(
        number=int(shown["server_number"]),
        name=str(shown["server_name"]),
        address=str(shown["server_ip"]),
        product=str(shown["product"]),
        location=str(shown["dc"]),
        status=str(shown["status"]),
        cancelled=bool(shown["cancelled"]),
    )


def _rescue(shown: Mapping[str, Any]) -> Rescue:
    keys = (str(one["key"]["fingerprint"]) for one in shown.get("host_key") or ())
    pinned = frozenset(f"SHA256:{key.removeprefix('SHA256:').rstrip('=')}" for key in keys)
    let_in = frozenset(str(one["key"]["fingerprint"]) for one in shown.get("authorized_key") or ())
    return Rescue(bool(shown["active"]), pinned, str(shown.get("boot_time") or ""), let_in)


def _content(answer: requests.Response, doing: str) -> Any:
    if not answer.content.strip():
        return {}
    try:
        return answer.json()
    except ValueError:
        raise Rejected(doing, "the answer is not JSON: is this Robot's address?", status=answer.status_code) from None


def _error(answer: requests.Response) -> dict[str, Any]:
    """The error object of an answer, empty if it has none."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _refusal(status: int, error: Mapping[str, Any], doing: str) -> RobotError:
    """The exception for a refused request, in an operator's words."""
    code, message = str(error.get("code", "")), str(error.get("message", "no reason given"))
    if status == 401:
        found = (
            "Robot refused the login (401). It was not tried again: three failures block this address for 10 minutes"
        )
        return LoginRefused(doing, found, "check the web-service user and its password, then run again", 401, code)
    if status in (500, 502, 503, 504) and not code.endswith("_FAILED"):
        return NoAnswer(doing, f"Robot is not available ({status} {code})".strip(), "try later", status, code)
    wrong = [f"{kind}: {error[kind]}" for kind in ("missing", "invalid") if error.get(kind)]
    found = f"{status} {code}: {message}" + (f" ({'; '.join(wrong)})" if wrong else "")
    return _KINDS.get(status, Rejected)(doing, found, _remedy(code), status, code)


def _remedy(code: str) -> str:
    return {
        "RESET_MANUAL_ACTIVE": "a manual reset is under way at Hetzner: wait for its end",
        "BOOT_ALREADY_ENABLED": "another boot configuration is active: deactivate it in Robot, or let it be used up",
        "WOL_NOT_AVAILABLE": "it listens to no Wake-on-LAN: press its power button (Robot, reset)",
        "SERVER_NOT_FOUND": "check the server's number, and that the web-service user may see it",
    }.get(code, "")


def _cause(problem: requests.exceptions.RequestException) -> str:
    if isinstance(problem, requests.exceptions.SSLError):
        return "its certificate was not accepted"
    if isinstance(problem, requests.exceptions.Timeout):
        return "no answer in time"
    return "no connection"
