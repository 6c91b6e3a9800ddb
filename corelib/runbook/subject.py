"""What is verified: all that a parameters file says about looking at its etcd, as plain values that can be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, NamedTuple

from ..etcd.intended import Intended, OnHost
from ..member import Member

if TYPE_CHECKING:
    from ..fleet import Access, Fleet


class Subject(NamedTuple):
    """One environment's etcd. `network` is the lab's, empty for a real target; secrets are references.

    `tls` is CA, certificate and key, `login` user and password, of etcd's own; `hosts` what each host must show.
    """

    environment: str
    network: str
    access: Access
    login_key: str
    tls: tuple[str, str, str] | None
    login: tuple[str, str] | None
    intended: Intended
    hosts: Mapping[str, OnHost]

    @classmethod
    def of(cls, fleet: Fleet) -> Subject:
        """What a fleet says."""
        from ..etcd.onhost import on_hosts  # noqa: PLC0415 - all of the user-data: not for a subject that is kept

        tls, login = fleet.etcd.tls, fleet.etcd.login
        return cls(
            environment=fleet.environment,
            network=str(fleet.lab.network) if fleet.target == "lab" and fleet.lab else "",
            access=fleet.access,
            login_key=(fleet.azure.login_key or "") if fleet.azure else "",
            tls=(tls.ca, tls.certificate, tls.key) if tls else None,
            login=(login.user, login.password) if login else None,
            intended=Intended.of(fleet),
            hosts=on_hosts(fleet),
        )

    @classmethod
    def read(cls, text: str) -> Subject:
        """What `text` has written. Raises ValueError, TypeError or KeyError for anything else."""
        content = json.loads(text)
        intended = content["intended"]
        read = {
            **{name: tuple(_member(*one) for one in intended[name]) for name in ("members", "founders")},
            **{name: frozenset(intended[name]) for name in ("awaiting", "joining", "gone", "seen")},
            "leaving": tuple(intended["leaving"]),
            "certificates": _tuple(intended["certificates"]),
        }
        return cls(
            **{
                **content,
                "tls": _tuple(content["tls"]),
                "login": _tuple(content["login"]),
                "intended": Intended(**{**intended, **read}),
                "hosts": {name: OnHost(**on) for name, on in content["hosts"].items()},
            }
        )

    def text(self) -> str:
        """As JSON."""
        hosts = {name: on._asdict() for name, on in self.hosts.items()}
        return json.dumps({**self._asdict(), "intended": self.intended._asdict(), "hosts": hosts}, default=_plain)


def _tuple(items: list[str] | None) -> Any:
    return None if items is None else tuple(items)


def _member(name: str, address: str, scheme: Any) -> Member:
    return Member(name, IPv4Address(address), scheme)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return sorted(value) if isinstance(value, frozenset) else str(value)
