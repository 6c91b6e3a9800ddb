"""What Robot remembers of an account: keys, servers, their boot configurations. The answers to its calls.

Shapes and codes: the reference of the Robot webservice. Rescue is the only boot configuration that is modelled; the
others are shown as available and never active.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncssh

from .clock import berlin
from .failure import Failure, invalid, key_not_found

Form = Mapping[str, list[str]]

RESETS = ("sw", "hw", "man")
_OS = ("linux", "vkvm")


@dataclass
class Activation:
    """One activation of the rescue system: used up by the next boot, which fills in its time and host keys."""

    os: str
    keys: tuple[dict[str, Any], ...]
    password: str
    host_keys: list[dict[str, Any]] = field(default_factory=list)
    boot_time: str | None = None


Keys = dict[str, dict[str, Any]]


@dataclass
class Server:
    """One server and everything about it; `keys` are the account's.

    `reset` is what pressing the button does, and `wake` what a Wake-on-LAN packet does: None where it listens to none.
    """

    number: int
    name: str
    address: str
    reset: Callable[[str], None]
    keys: Keys
    wake: Callable[[], None] | None = None
    active: Activation | None = None
    last: Activation | None = None

    def take_rescue(self) -> Activation | None:
        """What the next boot is to use; from then on it is no longer active."""
        taken, self.active = self.active, None
        return taken

    def server(self) -> dict[str, Any]:
        """A server as the list shows it."""
        return {
            **self._place(),
            "server_name": self.name,
            "product": "EX44",
            "dc": "FSN1-DC14",
            "traffic": "unlimited",
            "status": "ready",
            "cancelled": False,
            "paid_until": "2030-01-01",
            "ip": [self.address],
            "subnet": [],
            "linked_storagebox": None,
        }

    def server_in_full(self) -> dict[str, Any]:
        """A server as asked for by its number."""
        able = {**dict.fromkeys(("reset", "rescue", "vnc"), True), "wol": self.wake is not None}
        return {**self.server(), **able, **dict.fromkeys(("windows", "plesk", "cpanel", "hot_swap"), False)}

    def rename(self, form: Form) -> dict[str, Any]:
        """POST /server/{n}."""
        if not form.get("server_name"):
            raise invalid(missing=["server_name"])
        self.name = form["server_name"][0]
        return self.server_in_full()

    def boot(self) -> dict[str, Any]:
        """Every boot configuration."""
        others = {kind: {**self._place(), "active": False} for kind in ("linux", "vnc")}
        return {"rescue": self.rescue(), **others, "windows": None, "plesk": None, "cpanel": None}

    def rescue(self) -> dict[str, Any]:
        """The rescue system's configuration as it is now."""
        if self.active is None:
            return {**self._rescue(list(_OS), None), "active": False}
        return {**self._rescue(self.active.os, self.active), "active": True}

    def arm(self, form: Form) -> dict[str, Any]:
        """POST /boot/{n}/rescue."""
        if self.active is not None:
            raise Failure(409, "BOOT_ALREADY_ENABLED", "There is already an active boot configuration for the server")
        if not form.get("os"):
            raise invalid(missing=["os"])
        if form["os"][0] not in _OS:
            raise invalid(wrong={"os": list(_OS)})
        wanted = [*form.get("authorized_key[]", []), *form.get("authorized_key", [])]
        if unknown := [one for one in wanted if one not in self.keys]:
            raise invalid(wrong={"authorized_key": unknown})
        keys = tuple(self.keys[one] for one in wanted)
        self.active = self.last = Activation(form["os"][0], keys, secrets.token_urlsafe(12))
        return self.rescue()

    def disarm(self) -> dict[str, Any]:
        """DELETE /boot/{n}/rescue."""
        self.active = None
        return self.rescue()

    def last_rescue(self) -> dict[str, Any]:
        """The last activation, the only place where host keys appear."""
        if self.last is None:
            raise Failure(404, "NOT_FOUND", "No rescue system was activated yet")
        shown = self._rescue(self.last.os, self.last)
        return {**shown, "active": self.active is not None, "boot_time": self.last.boot_time}

    def reset_options(self) -> dict[str, Any]:
        """GET /reset/{n}."""
        return {**self._place(), "type": list(RESETS), "operating_status": "running"}

    def press(self, form: Form) -> dict[str, Any]:
        """POST /reset/{n}."""
        if not form.get("type"):
            raise invalid(missing=["type"])
        kind = form["type"][0]
        if kind not in RESETS:
            raise invalid(wrong={"type": list(RESETS)})
        if kind != "man":
            self.reset(kind)
        return {"server_ip": self.address, "server_ipv6_net": _IPV6, "type": kind}

    def wol(self) -> dict[str, Any]:
        """GET /wol/{n}."""
        self._listens()
        return self._place()

    def send_wol(self) -> dict[str, Any]:
        """POST /wol/{n}: the packet is sent; nobody learns whether it woke the machine."""
        self._listens()()
        return self._place()

    def _listens(self) -> Callable[[], None]:
        if self.wake is None:
            raise Failure(404, "WOL_NOT_AVAILABLE", "Wake On LAN is not available on this server")
        return self.wake

    def _place(self) -> dict[str, Any]:
        return {"server_ip": self.address, "server_ipv6_net": _IPV6, "server_number": self.number}

    def _rescue(self, system: str | list[str], activation: Activation | None) -> dict[str, Any]:
        keys = [] if activation is None else [{"key": _short(key)} for key in activation.keys]
        shown = activation.host_keys if activation is not None and activation is not self.active else []
        password = None if activation is None else activation.password
        details = {"os": system, "arch": 64, "password": password, "authorized_key": keys, "host_key": shown}
        return {**self._place(), **details}


@dataclass
class Account:
    """The keys and the servers, by number."""

    keys: Keys = field(default_factory=dict)
    servers: dict[int, Server] = field(default_factory=dict)

    def add_key(self, form: Form) -> dict[str, Any]:
        """POST /key."""
        if missing := [name for name in ("name", "data") if not form.get(name)]:
            raise invalid(missing=missing)
        try:
            key = asyncssh.import_public_key(form["data"][0])
        except asyncssh.KeyImportError:
            raise invalid(wrong={"data": ["a public key in OpenSSH or SSH2 format"]}) from None
        fingerprint = md5(key)
        if fingerprint in self.keys:
            raise Failure(409, "KEY_ALREADY_EXISTS", "The supplied key already exists")
        data = key.export_public_key().decode().strip()
        about = {"name": form["name"][0], "fingerprint": fingerprint, "type": "ED25519", "size": 256, "data": data}
        self.keys[fingerprint] = about | {"created_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")}
        return self.keys[fingerprint]

    def key(self, fingerprint: str) -> dict[str, Any]:
        """One key."""
        if fingerprint not in self.keys:
            raise key_not_found()
        return self.keys[fingerprint]

    def rename_key(self, fingerprint: str, form: Form) -> dict[str, Any]:
        """POST /key/{fingerprint}."""
        if not form.get("name"):
            raise invalid(missing=["name"])
        self.key(fingerprint)["name"] = form["name"][0]
        return self.key(fingerprint)

    def delete_key(self, fingerprint: str) -> tuple[int, None]:
        """DELETE /key/{fingerprint}: an empty answer."""
        self.key(fingerprint)
        del self.keys[fingerprint]
        return 200, None


_IPV6 = "2001:db8:321::"


def md5(key: Any) -> str:
    """A key's fingerprint as Robot names keys: MD5, colons (RFC 4716, section 4)."""
    text = hashlib.md5(key.public_data, usedforsecurity=False).hexdigest()
    return ":".join(text[at : at + 2] for at in range(0, 32, 2))


def booted(activation: Activation, host_keys: list[Any]) -> None:
    """Fill in what a boot of the rescue system makes known: its time in Berlin, and its host keys' fingerprints."""
    activation.boot_time = berlin(datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S")
    for key in host_keys:
        fingerprint = base64.b64encode(hashlib.sha256(key.public_data).digest()).decode().rstrip("=")
        kind = key.get_algorithm().removeprefix("ssh-").upper()
        activation.host_keys.append({"key": {"fingerprint": fingerprint, "type": kind, "size": 256}})


def _short(key: Mapping[str, Any]) -> dict[str, Any]:
    return {name: key[name] for name in ("name", "fingerprint", "type", "size")}
