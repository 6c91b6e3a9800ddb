"""Who asks etcd, and what it means that etcd does not let them: nothing about its health. Pure."""

from __future__ import annotations

import binascii
from typing import Any, NamedTuple

from .samples import Reply


class Credentials:
    """A user of etcd's own authentication; no named tuple, for no `repr` shows the password."""

    __slots__ = ("password", "user")

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"

    @property
    def basic(self) -> str:
        """The header by which etcd 2.x wants to know it, with every request (RFC 7617)."""
        return "Basic " + binascii.b2a_base64(f"{self.user}:{self.password}".encode(), newline=False).decode()


class Barred(NamedTuple):
    """A clause about the member that lets nobody in, and what is to be done."""

    problem: str
    remedy: str


AUTH_IS_OFF = "authentication is not enabled"

_NAME_THEM = "name a user and the reference to its password in etcd.login, and verify again"
_GRANT = "etcdctl role grant-permission ROLE --prefix=true readwrite /_runbooks/"
# What etcd says (api/v3rpc/rpctypes, and etcd 2.x's etcdhttp): the beginning of an error decides nothing.
_BARRED = {
    "user name is empty": Barred("asks for credentials, and none are given", _NAME_THEM),
    "invalid user ID or password": Barred(
        "refuses the given user or its password", "correct etcd.login (user and password), and verify again"
    ),
    "permission denied": Barred(
        "does not let the given user do this", f"let the user's role read and write there: {_GRANT}"
    ),
    "invalid auth token": Barred("does not accept its own token any more", "verify again"),
    "requires user authentication": Barred(
        "asks for credentials, and has none that it accepts for this",
        "name a user in etcd.login that may read and write below /_runbooks/, and the reference to its password",
    ),
}


def barred(reply: Reply[Any]) -> Barred | None:
    """What is to be said about an answer that only wants other credentials; None: it is about something else."""
    if reply.outcome != "failed":
        return None
    return next((words for text, words in _BARRED.items() if text in reply.detail), None)
