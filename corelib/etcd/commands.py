"""What a person types to see with their own eyes what a check has found. Pure; nothing here is ever run by us."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..fleet import CLIENT_PORT, PEER_PORT
from ..userdata.certificates import CA, CERTIFICATE, KEY
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


def see(row: Check, intended: Intended) -> str:
    """The command that shows what `row` found; empty where there is nothing to type.

    It is for a shell that reaches the members' addresses; where only their hosts do, it logs in there first.
    """
    urls = {member.name: member for member in intended.members}
    command = _COMMANDS.get(row.check)
    one = urls.get(row.member) or next(iter(urls.values()), None)
    if command is None or one is None:
        return ""
    everywhere = ",".join(member.client_url for member in intended.members)
    on = intended.hosts.get(one.name) or OnHost(intended.unit, "/var/lib/etcd")
    there = intended.only_from_hosts or row.check in _ON_HOST
    at = _At(one.client_url, one.peer_url, everywhere, on.unit, on.data_dir)
    typed = _let_in(command(at), intended, there=there)
    login = intended.logins.get(one.name, "") if there else ""
    return f'{login} "{typed}"' if login else typed


def _let_in(typed: str, intended: Intended, *, there: bool) -> str:
    """The same with the certificates and the user that it takes; etcdctl asks for the password itself.

    `there`: on the host, which has certificates of its own, that only root may use.
    """
    user = f" --user={intended.user}" if intended.user else ""
    etcdctl = curl = ""
    if intended.certificates is not None:
        ca, certificate, key = (CA, CERTIFICATE, KEY) if there else intended.certificates
        etcdctl = f" --cacert={ca} --cert={certificate} --key={key}"
        curl = f" --cacert {ca} --cert {certificate} --key {key}"
    sudo = "sudo " if curl and there else ""
    return typed.replace("etcdctl ", f"{sudo}etcdctl{etcdctl}{user} ").replace("curl ", f"{sudo}curl{curl} ")
