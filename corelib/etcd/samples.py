"""What the members answered: frozen values, free of judgement.

Named tuples, here and in all that a verification loads: dataclasses take 10 ms to be imported, and 20 ms to be made.
Their annotations are real types: `typing` compiles each one that is a string.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from ..member import Member

T = TypeVar("T")

NOTHING: Mapping[Any, Any] = MappingProxyType({})

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


class Certificate(NamedTuple):
    """What the other side has shown: when it expires (POSIX time), and how many seconds that was away then."""

    expires: float
    left: float


class Reply(NamedTuple, Generic[T]):
    """What came of one call. `value` is there if and only if `outcome` is answered; `detail` says more otherwise."""

    outcome: Outcome
    value: T | None = None
    detail: str = ""
    seconds: float = 0.0
    ahead: float | None = None  # of a version: seconds of its clock before ours, by its Date, within half a second
    certificate: Certificate | None = None  # over TLS


NOT_ASKED: Reply[Any] = Reply("not asked")


class Listed(NamedTuple):
    """One line of a member list. A member that has never started has no name."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool = False


class View(NamedTuple):
    """A member's own list, and the ids that it shows; the peer port does not say which member answers (0)."""

    cluster: int
    member: int
    members: tuple[Listed, ...]


class Status(NamedTuple):
    """`/v3/maintenance/status`, a member's word about itself; sizes in bytes; leader 0: it knows none.

    `newest` is the newest entry of its log, `applied` the newest one that it has carried out.
    """

    cluster: int
    member: int
    leader: int
    term: int
    version: str
    db_size: int = 0
    errors: tuple[str, ...] = ()
    db_used: int = 0
    newest: int = 0
    applied: int = 0
    quota: int = 0  # from 3.6 on; 0: it does not say
    downgrade: str = ""  # from 3.6 on: the version that somebody wants to go back to


class Range(NamedTuple):
    """A range read: the store's revision, how many keys there are, and the pairs that were asked for."""

    revision: int
    keys: int
    pairs: tuple[tuple[str, str], ...] = ()


class Alarm(NamedTuple):
    """A raised alarm (NOSPACE, CORRUPT) and the member that it is about; etcd may name none (0)."""

    member: int
    kind: str


class Hash(NamedTuple):
    """HashKV of the store at `revision`; comparable only with one of the same compaction."""

    revision: int
    compacted: int
    value: int


class Metrics(NamedTuple):
    """Of `/metrics`, since its process began: seconds that a disk took (sum, count), and by peer's id round trips and
    how many bytes of raft's came from it.
    """

    fsync: tuple[float, int] = (0.0, 0)
    commit: tuple[float, int] = (0.0, 0)
    quota: int = 0
    trips: Mapping[int, tuple[float, int]] = NOTHING
    heard: Mapping[int, int] = NOTHING


class Unit(NamedTuple):
    """What systemd says of etcd's unit: its states, how it ended last (`result`, `code`), how often it restarted."""

    active: str
    sub: str
    result: str = ""
    code: int = 0
    restarts: int = 0


class Space(NamedTuple):
    """The file system of the data directory, in bytes."""

    size: int
    free: int


class Mount(NamedTuple):
    """Where the data directory lies: the device, where that is mounted, its kind of file system."""

    source: str
    target: str
    kind: str


class HostFacts(NamedTuple):
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
    missing: Mapping[str, str] = NOTHING


class Sample(NamedTuple):
    """All that one member answered, and its host about it."""

    member: Member
    host: Reply[HostFacts] = NOT_ASKED
    peer: Reply[View] = NOT_ASKED  # from the peer port
    version: Reply[str] = NOT_ASKED
    login: Reply[bool] = NOT_ASKED  # with the given user and password, where there are some
    listing: Reply[View] = NOT_ASKED
    status: Reply[Status] = NOT_ASKED
    linearizable: Reply[Range] = NOT_ASKED
    local: Reply[Range] = NOT_ASKED  # a serializable read, of one that does not read through a leader
    alarms: Reply[tuple[Alarm, ...]] = NOT_ASKED
    hash: Reply[Hash] = NOT_ASKED
    metrics: Reply[Metrics] = NOT_ASKED
    earlier: Reply[Metrics] = NOT_ASKED  # an election before those, where there was no leader
    strained: Reply[Metrics] = NOT_ASKED  # once more after some writes, where the first ones were slow
    after: Reply[Status] = NOT_ASKED  # its status once more, at the end
    rounds: tuple[float, ...] = ()  # seconds of linearizable reads, one after the other on one connection


class Trace(NamedTuple):
    """The canary as seen through one member; `found` names the members whose exact value was read back."""

    member: Member
    put: Reply[int] = NOT_ASKED
    found: Reply[tuple[str, ...]] = NOT_ASKED
    left: Reply[int] = NOT_ASKED  # how many keys are left after the lease is revoked


class Canary(NamedTuple):
    """A value written through each member under one lease, read back through each, and removed."""

    prefix: str
    lease: Reply[int]
    revoked: Reply[bool] = NOT_ASKED
    traces: tuple[Trace, ...] = ()


class Samples(NamedTuple):
    """One pass over all members. `canary` is None when it was not wanted; times in seconds."""

    members: tuple[Sample, ...]
    canary: Canary | None = None
    waited: float = 0.0  # for a leader that all agree on
    seconds: float = 0.0
