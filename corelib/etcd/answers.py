"""etcd's JSON into values, once. What has not etcd's shape raises ValueError.

The gateway writes 64-bit numbers as decimal strings and leaves out zeros and empty lists (proto3's JSON mapping);
the peer port writes them as numbers.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .samples import Alarm, Hash, Listed, Metrics, Range, Status, View

Headers = dict[str, str]  # names in lower case
Reader = Callable[[Any, Headers], Any]


def version(body: Any, _: Headers) -> str:
    """`GET /version`; etcd 2.0 tells it as plain text (`etcd 2.0.13`) or as `releaseVersion`."""
    if isinstance(body, str):
        text: Any = body.removeprefix("etcd ")
    else:
        text = _object(body).get("etcdserver", _object(body).get("releaseVersion"))
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,4}(\.\d{1,4}){1,2}([-+.].{0,40})?", text):
        raise ValueError("no version of etcd in it")
    return text


def peer_view(body: Any, headers: Headers) -> View:
    """`GET /members` on the peer port: the cluster's id is in a header, in hex."""
    if "x-etcd-cluster-id" not in headers:
        raise ValueError("no X-Etcd-Cluster-ID in it")
    return View(int(headers["x-etcd-cluster-id"], 16), 0, tuple(_listed(entry, "id") for entry in _list(body)))


def view(body: Any, _: Headers) -> View:
    """`/v3/cluster/member/list`."""
    header = _header(body)
    members = tuple(_listed(entry, "ID") for entry in _list(body.get("members")))
    return View(_number(header, "cluster_id"), _number(header, "member_id"), members)


def status(body: Any, _: Headers) -> Status:
    """`/v3/maintenance/status`."""
    header = _header(body)
    return Status(
        cluster=_number(header, "cluster_id"),
        member=_number(header, "member_id"),
        leader=_number(body, "leader"),
        term=_number(body, "raftTerm"),
        version=str(body.get("version", "")),
        db_size=_number(body, "dbSize"),
        errors=_strings(body.get("errors")),
        db_used=_number(body, "dbSizeInUse"),
        newest=_number(body, "raftIndex"),
        applied=_number(body, "raftAppliedIndex"),
        quota=_number(body, "dbSizeQuota"),
        downgrade=_downgrade(body.get("downgradeInfo")),
    )


def _downgrade(info: Any) -> str:
    """The version that a downgrade is under way to; `downgradeInfo` is there from 3.6 on."""
    content = _object(info or {})
    return str(content.get("targetVersion") or "?") if content.get("enabled") is True else ""


_METRICS = (
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_disk_backend_commit_duration_seconds",
    "etcd_server_quota_backend_bytes",
    "etcd_network_peer_round_trip_time_seconds",
    "etcd_network_peer_received_bytes_total",
)
METRICS_END = b"\ngo_"  # etcd's own come before, in the order of their names: three quarters are about its Go and gRPC
_FIGURE = re.compile(r'\n([a-z_]++)(?:\{(?:To|From)="([0-9a-f]+)"\})? ([0-9.eE+-]+)(?=\n)')  # no line of a bucket


def _figures(text: str) -> Iterator[tuple[str, str, float]]:
    """(metric, peer's id, value) of ours among the thousands of lines: a family's are in a row."""
    text = f"\n{text}\n"
    for family in _METRICS:
        begin, last = text.find(f"\n{family}"), text.rfind(f"\n{family}")
        if begin >= 0:
            end = text.index("\n", last + 1) + 1
            yield from ((one[1], one[2] or "", float(one[3])) for one in _FIGURE.finditer(text, begin, end))


def metrics(text: str, _: Headers) -> Metrics:
    """`/metrics`, Prometheus' text format; what a version does not have is absent."""
    found = {(name, peer): value for name, peer, value in _figures(text)}
    if not found:
        raise ValueError("no metrics of etcd in it")

    def pair(name: str, to: str = "") -> tuple[float, int]:
        return found.get((f"{name}_sum", to), 0.0), int(found.get((f"{name}_count", to), 0))

    trip, heard = "etcd_network_peer_round_trip_time_seconds", "etcd_network_peer_received_bytes_total"
    peers = {to for name, to in found if name == f"{trip}_count"}
    return Metrics(
        fsync=pair("etcd_disk_wal_fsync_duration_seconds"),
        commit=pair("etcd_disk_backend_commit_duration_seconds"),
        quota=int(found.get(("etcd_server_quota_backend_bytes", ""), 0)),
        trips={int(to, 16): pair(trip, to) for to in sorted(peers)},
        heard={int(peer, 16): int(value) for (name, peer), value in found.items() if name == heard},
    )


def range_(body: Any, _: Headers) -> Range:
    """`/v3/kv/range`."""
    at = _number(_header(body), "revision")
    pairs = tuple((_text(kv, "key"), _text(kv, "value")) for kv in map(_object, _list(body.get("kvs"))))
    return Range(at, _number(body, "count"), pairs)


def count(body: Any, headers: Headers) -> int:
    """How many keys a `/v3/kv/range` counted."""
    return range_(body, headers).keys


def revision(body: Any, _: Headers) -> int:
    """The revision in the header of a `/v3/kv/put`."""
    return _number(_header(body), "revision")


def lease(body: Any, _: Headers) -> int:
    """The id in a `/v3/lease/grant`."""
    _header(body)
    if not (number := _number(body, "ID")):
        raise ValueError("a lease without an id")
    return number


def added(body: Any, _: Headers) -> int:
    """The id in a `/v3/cluster/member/add`."""
    _header(body)
    return _listed(body.get("member"), "ID").id


def done(body: Any, _: Headers) -> bool:
    """Any answer of etcd's that has nothing to say but its header."""
    return bool(_header(body))


def alarms(body: Any, _: Headers) -> tuple[Alarm, ...]:
    """`/v3/maintenance/alarm`; up to 3.4 it has no header, so an empty object says that there is none."""
    content = _object(body)
    if content.keys() - {"header", "alarms"}:
        raise ValueError("not a list of alarms")
    entries = map(_object, _list(content.get("alarms")))
    return tuple(Alarm(_number(entry, "memberID"), str(entry.get("alarm", "?"))) for entry in entries)


_NAMED = re.compile(r"memberID:(\d+) alarm:(\w+)")


def named(errors: Iterable[str]) -> tuple[Alarm, ...]:
    """The alarms among a status's errors, each written as protobuf's text: `memberID:7 alarm:NOSPACE`."""
    found = (_NAMED.search(text) or re.search(r"()alarm:(\w+)", text) for text in errors)
    return tuple(Alarm(int(one[1] or 0), one[2]) for one in found if one)


def hash_kv(at: int, body: Any, _: Headers) -> Hash:
    """`GET /members/hashkv` on the peer port, asked for revision `at`; its header has the newest revision instead."""
    content = _object(body)
    if "hash" not in content:
        raise ValueError("no hash in it")
    return Hash(at, _number(content, "compact_revision"), _number(content, "hash"))


def _header(body: Any) -> dict[str, Any]:
    header = _object(_object(body).get("header"))
    if not _number(header, "cluster_id"):
        raise ValueError("no id of a cluster in it")
    return header


def token(body: Any, _: Headers) -> str:
    """The token in a `/v3/auth/authenticate`."""
    _header(body)
    if not isinstance(body.get("token"), str) or not re.fullmatch(r"[!-~]+", body["token"]):
        raise ValueError("no token in it")
    return str(body["token"])


def v2_listed(entry: Any) -> Listed:
    """One entry of etcd 2.x's `/v2/members`, whose ids are hex."""
    entry = _object(entry)
    return _listed({**entry, "id": int(str(entry.get("id", "")), 16)}, "id")


def _listed(entry: Any, id_key: str) -> Listed:
    entry = _object(entry)
    urls = _strings(entry.get("peerURLs")), _strings(entry.get("clientURLs"))
    return Listed(_number(entry, id_key), str(entry.get("name", "")), *urls, entry.get("isLearner") is True)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not an object where etcd has one")  # noqa: TRY004 - all that is wrong with it is one kind
    return value


def _list(value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ValueError("not a list where etcd has one")
    return value or []


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(str(entry) for entry in _list(value))


def _number(entry: dict[str, Any], key: str) -> int:
    value = entry.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{key} is not a number")  # noqa: TRY004 - the same
    return int(value)


def _text(entry: dict[str, Any], key: str) -> str:
    try:
        return binascii.a2b_base64(str(entry.get(key, "")), strict_mode=True).decode(errors="replace")
    except binascii.Error:
        raise ValueError(f"{key} is not base64") from None
