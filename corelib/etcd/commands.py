"""What a person types to see with their own eyes what a check has found. Pure; nothing here is ever run by us."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from ..member import CLIENT_PORT, PEER_PORT
from .case import Check
from .intended import Intended, OnHost


class _At(NamedTuple):
    """Where to look: the member's own URLs, all members' client URLs, on its host the unit and the data directory."""

    client: str
    peer: str
    everywhere: str
    unit: str
    data: str


_ON_HOST = ("host", "process", "space", "data disk", "environment")  # what is typed on the host itself
_BY_HAND = "/_runbooks/by-hand"

# Of etcd 2.x, with the `etcdctl` of its time (etcdctl/READMEv2.md); `--no-sync`: it would go to the listed addresses.
_OF_2X: dict[str, Callable[[_At], str]] = {
    "member list": lambda at: f"etcdctl --no-sync --peers={at.client} member list",
    "leader": lambda at: f"curl -s -m 5 {at.client}/v2/stats/self",
    "reads": lambda at: f"time curl -s -m 5 '{at.client}/v2/keys/?quorum=true'",
    "canary": lambda at: " && ".join(
        f"etcdctl --no-sync --peers={at.client} {done}"
        for done in (f"set {_BY_HAND} 1", f"rm {_BY_HAND}", f"rmdir {_BY_HAND.rpartition('/')[0]}")
    ),
    "canary removed": lambda at: f"curl -s '{at.everywhere.split(',')[0]}/v2/keys/_runbooks?recursive=true'",
    **dict.fromkeys(("alarms", "data", "round trip", "disk", "log"), lambda _: ""),  # it has nothing of the kind
}

_COMMANDS: dict[str, Callable[[_At], str]] = {
    "host": lambda at: f"systemctl status {at.unit}; journalctl -u {at.unit} -n 50",
    "process": lambda at: f"systemctl status {at.unit}; journalctl -u {at.unit} -n 50",
    "space": lambda at: f"df -h {at.data}",
    "data disk": lambda at: f"findmnt -T {at.data}",
    "environment": lambda _: "pgrep -x 'etcd2?' | xargs -I P sudo cat /proc/P/environ | tr '\\0' '\\n' | grep ETCD_",
    "identity": lambda at: f"curl -si {at.peer}/members",
    "client port": lambda at: f"curl -s -m 5 {at.client}/version; ss -ltn | grep {CLIENT_PORT}",
    "peer port": lambda at: f"curl -si -m 5 {at.peer}/members; ss -ltn | grep {PEER_PORT}",
    "member list": lambda at: f"etcdctl --endpoints={at.client} member list -w table",
    "leader": lambda at: f"etcdctl --endpoints={at.everywhere} endpoint status -w table",
    "reads": lambda at: f"time etcdctl --endpoints={at.client} get / --limit=1 --consistency=l",
    "alarms": lambda at: f"etcdctl --endpoints={at.client} alarm list",
    "canary": lambda at: (
        f"etcdctl --endpoints={at.client} put {_BY_HAND} 1 && etcdctl --endpoints={at.client} del {_BY_HAND}"
    ),
    "canary removed": lambda at: (
        f"etcdctl --endpoints={at.everywhere.split(',')[0]} get --prefix --keys-only /_runbooks/"
    ),
    "data": lambda at: f"etcdctl --endpoints={at.everywhere} endpoint hashkv -w table",
    "round trip": lambda at: f"for n in 1 2 3; do time etcdctl --endpoints={at.client} get / --limit=1; done",
    "disk": lambda at: f"curl -s {at.client}/metrics | grep -E 'wal_fsync.*(sum|count)'; iostat -x 1 3",
    "log": lambda at: f"etcdctl --endpoints={at.everywhere} endpoint status -w table",
}


def see(row: Check, intended: Intended, old: Collection[str] = ()) -> str:
    """The command that shows what `row` found; empty where there is nothing to type.

    It is for a shell that reaches the members' addresses; where only their hosts do, it logs in there first. `old` are
    the members that run etcd 2.x, which understands other commands.
    """
    urls = {member.name: member for member in intended.members}
    one = urls.get(row.member) or next(iter(urls.values()), None)
    if one is None:
        return ""
    is_old = one.name in old
    commands = _COMMANDS | _OF_2X if is_old else _COMMANDS
    if row.check not in commands:
        return ""
    everywhere = ",".join(member.client_url for member in intended.members)
    on = intended.hosts.get(one.name) or OnHost(intended.unit, "/var/lib/etcd")
    there = intended.only_from_hosts or row.check in _ON_HOST
    at = _At(one.client_url, one.peer_url, everywhere, on.unit, on.data_dir)
    typed = _let_in(commands[row.check](at), intended, there=there, old=is_old)
    login = intended.logins.get(one.name, "") if there else ""
    return f'{login} "{typed}"' if login and typed else typed


def _let_in(typed: str, intended: Intended, *, there: bool, old: bool) -> str:
    """The same with the certificates and the user that it takes; etcdctl and curl ask for the password themselves.

    `there`: on the host, which has certificates of its own, that only root may use, and the etcdctl of its own etcd.
    """
    etcdctl = curl = ""
    if intended.certificates is not None:
        ca, certificate, key = _of_a_host() if there else intended.certificates
        names = ("ca-file", "cert-file", "key-file") if old else ("cacert", "cert", "key")
        etcdctl = "".join(f" --{name}={file}" for name, file in zip(names, (ca, certificate, key), strict=True))
        curl = f" --cacert {ca} --cert {certificate} --key {key}"
    sudo = "sudo " if curl and there else ""
    if intended.user:
        etcdctl += f" --{'username' if old else 'user'}={intended.user}"
        curl += f" -u {intended.user}" if "/v2/" in typed else ""
    # Here it may be one of etcd 3, which speaks to etcd 2.x if it is told so (that of 2.x does not mind).
    tool = "ETCDCTL_API=2 etcdctl" if old and not there else "etcdctl"
    return typed.replace("etcdctl ", f"{sudo}{tool}{etcdctl} ").replace("curl ", f"{sudo}curl{curl} ")


def _of_a_host() -> tuple[str, str, str]:
    from ..userdata.certificates import CA, CERTIFICATE, KEY  # noqa: PLC0415 - all of the user-data is slow to load

    return CA, CERTIFICATE, KEY
