"""What the members answered: frozen values, free of judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from ..fleet import Member

T = TypeVar("T")

Outcome = Literal[
    "answered",  # etcd answered what was asked
    "failed",  # etcd answered with an error
    "refused",  # the host answers, nothing listens on the port
    "unreachable",  # no route, or no answer to the attempt to connect
    "mute",  # the connection is accepted, and no answer comes
    "broken",  # the connection is closed in the middle
    "not etcd",  # something answers, and it is not etcd
    "bad JSON",  # says that it is JSON, and is not
    "speaks TLS",  # and plain HTTP was expected
    "speaks plain",  # and TLS was expected
    "bad certificate",  # of another CA, for another name, expired or not valid yet
    "wants certificate",  # of the client: there is none, or not one that it accepts
    "not asked",
    "not let in",  # a host's SSH does not take our key
    "another host key",  # a host's SSH is not the one that is pinned: nothing was sent
    "lacks",  # this version of etcd has nothing of the kind
]

# What time does not mend: one side speaks otherwise, or trusts otherwise, than the other.
ABOUT_TLS: tuple[Outcome, ...] = ("speaks TLS", "speaks plain", "bad certificate", "wants certificate")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the other side has shown: when it expires (POSIX time), and how many seconds that was away then."""

    expires: float
    left: float


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """What came of one call. `value` is there if and only if `outcome` is answered; `detail` says more otherwise."""

    outcome: Outcome
    value: T | None = None
    detail: str = ""
    seconds: float = 0.0
    ahead: float | None = None  # seconds of its clock before ours, by the answer's Date, within half a second
    certificate: Certificate | None = None  # over TLS


NOT_ASKED: Reply[Any] = Reply("not asked")


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a member list. A member that has never started has no name."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A member's own list, and the ids that it shows; the peer port does not say which member answers (0)."""

    cluster: int
    member: int
    members: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """`/v3/maintenance/status`, a member's word about itself; sizes in bytes; leader 0: it knows none.

    `index` is the newest entry of its log, `applied` the newest one that it has carried out.
    """

    cluster: int
    member: int
    leader: int
    term: int
    version: str
    db_size: int = 0
    errors: tuple[str, ...] = ()
    db_used: int = 0
    index: int = 0
    applied: int = 0
    quota: int = 0  # from 3.6 on; 0: it does not say
    downgrade: str = ""  # from 3.6 on: the version that somebody wants to go back to


@dataclass(frozen=True, slots=True)
class Range:
    """A range read: the store's revision, how many keys there are, and the pairs that were asked for."""

    revision: int
    count: int
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """A raised alarm (NOSPACE, CORRUPT) and the member that it is about; etcd may name none (0)."""

    member: int
    kind: str


@dataclass(frozen=True, slots=True)
class Hash:
    """HashKV of the store at `revision`; comparable only with one of the same compaction."""

    revision: int
    compacted: int
    value: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of `/metrics`, since its process began: seconds that a disk took (sum, count), and by peer's id round trips and
    how many bytes of raft's came from it.
    """

    fsync: tuple[float, int] = (0.0, 0)
    commit: tuple[float, int] = (0.0, 0)
    quota: int = 0
    trips: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    heard: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd says of etcd's unit: its states, how it ended last (`result`, `code`), how often it restarted."""

    active: str
    sub: str
    result: str = ""
    code: int = 0
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Space:
    """The file system of the data directory, in bytes."""

    size: int
    free: int


@dataclass(frozen=True, slots=True)
class Mount:
    """Where the data directory lies: the device, where that is mounted, its kind of file system."""

    source: str
    target: str
    kind: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a member's host says of it. What could not be had is None, and `missing` says why, by the field's name.

    `pid` is etcd's own process (0: there is none), `environment` that process's, `fatal` what it said last when it
    ended since its last start; `ahead` are seconds of the host's clock before ours.
    """

    unit: Unit | None = None
    pid: int | None = None
    environment: Mapping[str, str] | None = None
    fatal: str | None = None
    space: Space | None = None
    mount: Mount | None = None
    ahead: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """All that one member answered, and its host about it."""

    member: Member
    host: Reply[HostFacts] = NOT_ASKED
    peer: Reply[View] = NOT_ASKED  # from the peer port
    version: Reply[str] = NOT_ASKED
    login: Reply[bool] = NOT_ASKED  # with the given user and password, where there are some
    listing: Reply[View] = NOT_ASKED
    status: Reply[Status] = NOT_ASKED
    local: Reply[Range] = NOT_ASKED  # a serializable read
    linearizable: Reply[Range] = NOT_ASKED
    alarms: Reply[tuple[Alarm, ...]] = NOT_ASKED
    hash: Reply[Hash] = NOT_ASKED
    metrics: Reply[Metrics] = NOT_ASKED
    earlier: Reply[Metrics] = NOT_ASKED  # an election before those, where there was no leader
    strained: Reply[Metrics] = NOT_ASKED  # once more after some writes, where the first ones were slow
    after: Reply[Status] = NOT_ASKED  # its status once more, at the end
    rounds: tuple[float, ...] = ()  # seconds of linearizable reads, one after the other on one connection


@dataclass(frozen=True, slots=True)
class Trace:
    """The canary as seen through one member; `found` names the members whose exact value was read back."""

    member: Member
    put: Reply[int] = NOT_ASKED
    found: Reply[tuple[str, ...]] = NOT_ASKED
    left: Reply[int] = NOT_ASKED  # how many keys are left after the lease is revoked


@dataclass(frozen=True, slots=True)
class Canary:
    """A value written through each member under one lease, read back through each, and removed."""

    prefix: str
    lease: Reply[int]
    revoked: Reply[bool] = NOT_ASKED
    traces: tuple[Trace, ...] = ()


@dataclass(frozen=True, slots=True)
class Samples:
    """One pass over all members. `canary` is None when it was not wanted; times in seconds."""

    members: tuple[Sample, ...]
    canary: Canary | None = None
    waited: float = 0.0  # for a leader that all agree on
    seconds: float = 0.0
