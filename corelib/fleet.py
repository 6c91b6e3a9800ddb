"""The fleet: frozen values that say what shall exist. Everything else is derived from them.

A `Fleet` is what `parameters/<environment>.yaml` means. The types are pydantic models, so that all problems of a
file are found at once and the same types give the schema; they do no I/O. Terms: a *cluster* is a group of hosts
deployed together (its own network, reserved address, storage); all clusters together run ONE etcd cluster, whose
*members* are the hosts; a *dedicated* host is a Hetzner server and runs no etcd.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .member import Member

Target = Literal["lab", "real"]
Access = Literal["direct", "ssh"]


def _host_name(text: str) -> str:
    # RFC 1123: a label of letters, digits and hyphens; lower case because Azure and etcd compare names as written.
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text):
        raise ValueError("a host name is 1 to 63 lower-case letters, digits and inner hyphens, without a dot")
    return text


_KIND = re.compile(r"(ssh|ecdsa|sk)-")
_WIDEST = 8  # bits of the shortest prefix that anybody was ever given for themselves (RFC 1466)


def _ssh_key(text: str) -> str:
    """Accept `type base64 [comment]` whose base64 names the same type (RFC 4253, section 6.6)."""
    fields = text.split()
    if len(fields) > 2 and not _KIND.match(fields[0]) and any(map(_KIND.match, fields)):
        raise ValueError("options before the key are not taken by Azure; give the key alone")
    expected = "an OpenSSH public key, such as 'ssh-ed25519 AAAA… name'"
    if len(fields) < 2:
        raise ValueError(f"expected {expected}; the key itself is missing (a placeholder?)")
    try:
        blob = base64.b64decode(fields[1], validate=True)
    except ValueError:
        raise ValueError(f"expected {expected}; its second word is not base64 (a placeholder?)") from None
    length = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + length] != fields[0].encode() or len(blob) < 4 + length + 32:
        raise ValueError(f"expected {expected}; the key is cut off or of another type than {fields[0]!r}")
    return text


class PlainSecret(ValueError):
    """A value stands where only the reference to one may."""


def _reference(text: str) -> str:
    if not re.fullmatch(r"(env|file):\S.*", text):
        raise PlainSecret("a secret is given by reference: 'env:NAME' or 'file:path', never as a value")
    return text


_DISK = (
    r"wwn-0x[0-9a-f]{16}([0-9a-f]{16})?|nvme-eui\.[0-9a-f]{16}([0-9a-f]{16})?|nvme-nvme\.[0-9a-f]+(-[0-9a-f]+)*"
    r"|nvme-[A-Za-z0-9][A-Za-z0-9._-]*_[A-Za-z0-9-]+"
)


def _wwn(text: str) -> str:
    if not re.fullmatch(_DISK, text) or re.search(r"-part[0-9]+$", text):
        raise ValueError(
            "a disk is named by its WWN, 'wwn-0x' and 16 (or 32) hex digits, or 'nvme-eui.…' or 'nvme-MODEL_SERIAL', "
            "as in /dev/disk/by-id"
        )
    return text


def _resource_name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}[a-z0-9]", text):
        raise ValueError("a name is 2 to 42 lower-case letters, digits and hyphens, beginning with a letter")
    return text


def _group_name(text: str) -> str:
    # Azure: naming rules for resource groups, of which only what can be typed without quotes is taken
    if not re.fullmatch(r"[A-Za-z0-9_-]([A-Za-z0-9._-]{0,88}[A-Za-z0-9_-])?", text):
        raise ValueError("a resource group's name is 1 to 90 letters, digits, ._- and does not end with a dot")
    return text


def _guid(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        raise ValueError("an Azure id is 32 lower-case hex digits grouped 8-4-4-4-12")
    return text


def _wireguard_key(text: str) -> str:
    """Accept the base64 of 32 bytes, as `wg pubkey` prints it (wg(8))."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32 or base64.b64encode(key).decode() != text:
        raise ValueError("a WireGuard public key is 32 bytes in base64, as `wg pubkey` prints it")
    return text


def _unit_name(text: str) -> str:
    # systemd.unit(5): letters, digits and :-_.\\@, and a suffix that says what kind it is
    if text and not re.fullmatch(
        r"[A-Za-z0-9:_.\\@-]+\.(service|socket|device|mount|target|path|timer|slice|scope)", text
    ):
        raise ValueError("a unit is named such as overlay.service: with its suffix, and without a slash")
    return text


HostName = Annotated[str, AfterValidator(_host_name)]
SshKey = Annotated[str, AfterValidator(_ssh_key)]
Reference = Annotated[str, AfterValidator(_reference)]
WireguardKey = Annotated[str, AfterValidator(_wireguard_key)]
UnitName = Annotated[str, AfterValidator(_unit_name)]
Wwn = Annotated[str, AfterValidator(_wwn)]
Guid = Annotated[str, AfterValidator(_guid)]
ResourceName = Annotated[str, AfterValidator(_resource_name)]
GroupName = Annotated[str, AfterValidator(_group_name)]
Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


MOST_NUMBER = 4000  # of a host in its cluster: its port at the reserved address stays below those of the overlay


class Value(BaseModel):
    """A frozen value: unknown keys are errors, and nothing is converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Release(Value):
    """The distribution that hosts run; `version` is pinned, or `current`."""

    distribution: Literal["flatcar", "coreos"]
    channel: Literal["stable", "beta", "alpha", "lts"]
    version: Annotated[str, Field(pattern=r"^(current|\d+\.\d+\.\d+)$")]


class Window(Value):
    """When hosts may reboot: from `start` (`02:00` each day, or `Sun 02:00`; the host's clock, UTC) for `length`."""

    start: Annotated[str, Field(pattern=r"^((Sun|Mon|Tue|Wed|Thu|Fri|Sat) )?([01][0-9]|2[0-3]):[0-5][0-9]$")]
    length: Annotated[str, Field(pattern=r"^([1-9][0-9]*h)?([1-9][0-9]*m)?$", min_length=2)]  # a duration of Go's


class Updates(Value):
    """When a host may reboot after an update."""

    reboot_strategy: Literal["off", "reboot", "etcd-lock", "best-effort"]
    window: Window | None = None


class Install(Value):
    """A program that hosts fetch once: its release, from where, and the SHA-256 that it must have."""

    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    url: Annotated[str, Field(pattern=r"^https://[A-Za-z0-9./_~:@+=-]+$")]
    sha256: Sha256


class Overlay(Value):
    """The network that etcd runs on. `weave` and `wireguard`: the user-data brings it up; `provided`: a unit that
    somebody else brings; `none`: the addresses are there.

    Weave: its script (`install`), and in `containers` the part of the network from which each host's docker takes
    its addresses (absent: docker stays on its own bridge). WireGuard: each host's public key. `services` is
    Kubernetes' service range; nothing is rendered from it, but it must not overlap.
    """

    kind: Literal["weave", "wireguard", "provided", "none"]
    network: IPv4Network
    unit: UnitName = ""
    install: Install | None = None
    containers: IPv4Network | None = None
    services: IPv4Network | None = None
    keys: dict[HostName, WireguardKey] = {}


class Tls(Value):
    """How an operator's tools trust etcd, and are trusted by it: PEM files, by reference.

    The CA has signed the members' certificates and the operator's own. The latter names no address and no host: a peer
    port lets a client in only from those that its certificate names (etcd's docs, op-guide/security).
    """

    ca: Reference
    certificate: Reference
    key: Reference


class Login(Value):
    """A user of etcd's own authentication who may read and write what the verifier writes."""

    user: Annotated[str, Field(pattern=r"^[^\s:]+$")]  # a colon would end it in HTTP's basic authentication
    password: Reference


class Etcd(Value):
    """etcd's bootstrap, frozen apart from who came and went since, its timing in milliseconds, and what it may keep.

    `auto_compaction` is how much history it keeps (`1h`), `quota_mb` how large its data may grow in MiB (etcd's own
    limit is 2 GiB), `metrics_port` a listener for metrics and health alone. Each is etcd's own default if absent.
    `version` is of etcd's image that members run; absent: the release's own.
    With `tls` all members speak TLS, from the bootstrap on (their ids derive from their URLs), and want certificates of
    their clients; `login` is who asks, where etcd wants one.
    """

    # A token stands in an environment file and in every member's hash: no quotes, blanks or dollars.
    token: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    heartbeat_ms: Annotated[int, Field(ge=10, le=60_000)]
    election_ms: Annotated[int, Field(ge=50, le=50_000)]
    legacy_ports: bool
    loopback_listener: bool
    version: Annotated[str, Field(pattern=r"^3\.\d+\.\d+$")] | None = None
    auto_compaction: Annotated[str, Field(pattern=r"^[1-9][0-9]*(h|m)$")] | None = None
    quota_mb: Annotated[int, Field(ge=64, le=8192)] | None = None  # etcd warns above 8 GiB
    metrics_port: Annotated[int, Field(ge=1024, le=65_535)] | None = None
    bootstrap: Annotated[dict[HostName, IPv4Address], Field(min_length=1)]
    added: dict[HostName, IPv4Address] = {}
    removed: tuple[HostName, ...] = ()
    tls: Tls | None = None
    login: Login | None = None

    @property
    def scheme(self) -> Literal["http", "https"]:
        """How every URL of a member begins."""
        return "https" if self.tls else "http"

    @property
    def founders(self) -> tuple[Member, ...]:
        """The bootstrap members in the order in which they are written."""
        return tuple(Member(name, address, self.scheme) for name, address in self.bootstrap.items())

    @property
    def members(self) -> tuple[Member, ...]:
        """Who is in the cluster now: founders, then those who were added, without those who were removed."""
        return tuple(member for member in self.ever if member.name not in self.removed)

    @property
    def ever(self) -> tuple[Member, ...]:
        """Who has been in the cluster, or is."""
        return (*self.founders, *(Member(name, address, self.scheme) for name, address in self.added.items()))

    def joined_by(self, name: str) -> tuple[Member, ...]:
        """The members that an added one finds when it joins, itself the last (etcd wants exactly those)."""
        later = list(self.added)[list(self.added).index(name) + 1 :]
        return tuple(member for member in self.members if member.name not in later)


class Azure(Value):
    """Where the Azure hosts live, how to log in (`default`: azure-identity's own chain), and the operator's SSH key.

    `login_key` is the private half of one of `ssh_keys`, by reference; hosts are logged in to as `core`.
    """

    tenant: Guid
    subscription: Guid
    credential: Literal["default", "azure-cli", "managed-identity", "environment"] = "default"
    login_key: Reference | None = None


class Host(Value):
    """An Azure host: VM name = host name = etcd member name; `address` is its overlay address."""

    name: HostName
    address: IPv4Address
    etcd: Literal["member", "none"] = "member"


class Counted(Value):
    """Hosts by count, in a list of hosts: `node-###` gives node-001, node-002, …, their addresses from `first` on."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    name: Annotated[str, Field(pattern=r"^[a-z0-9-]*#+[a-z0-9-]*$")]
    first: IPv4Address
    number: Annotated[int, Field(ge=0)] = 1
    etcd: Literal["member", "none"] = "member"

    @property
    def hosts(self) -> tuple[dict[str, str], ...]:
        """Each host as it could have been written. Raises ValueError if the name or the addresses do not suffice."""
        digits, last = self.name.count("#"), self.number + self.count - 1
        if len(str(last)) > digits:
            raise ValueError(f"{self.name!r} has {digits} digits, and the last host is number {last}")
        if int(self.first) + self.count - 1 > 0xFFFFFFFF:
            raise ValueError(f"there are no {self.count} addresses from {self.first} on")
        return tuple(
            {
                "name": self.name.replace("#" * digits, f"{self.number + n:0{digits}}"),
                "address": str(self.first + n),
                "etcd": self.etcd,
            }
            for n in range(self.count)
        )


class Cluster(Value):
    """Azure hosts deployed together: a resource group, network, reserved address and storage of their own.

    `resource_group` names one that exists and is not ours: it is never created, changed, tagged or destroyed.
    `public_address`: one for the cluster, with a port for each host's SSH, or one for each host.
    """

    name: ResourceName
    resource_group: GroupName | None = None
    public_address: Literal["cluster", "host"] = "cluster"
    location: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    size: Text
    network: IPv4Network
    subnet: IPv4Network
    ssh_from: Annotated[tuple[IPv4Network, ...], Field(min_length=1)]
    data_disk_gb: Annotated[int, Field(ge=4, le=32_767)]
    zones: tuple[Annotated[str, Field(pattern=r"^[123]$")], ...] = ()
    hosts: Annotated[tuple[Host, ...], Field(min_length=1)]

    @property
    def open_to(self) -> tuple[IPv4Network, ...]:
        """Of `ssh_from` what is too wide to be anybody's own."""
        return tuple(one for one in self.ssh_from if one.prefixlen < _WIDEST)

    @property
    def group(self) -> str:
        """The resource group that everything of it is in."""
        return self.resource_group or self.name

    def reserved(self, host: str) -> str:
        """Under which name the reserved address that leads to a host is known: the cluster's, or CLUSTER/HOST."""
        return f"{self.name}/{host}" if self.public_address == "host" else self.name

    @property
    def numbers(self) -> dict[str, int]:
        """Each host's own number, from 1 on: the one that its name ends with, else the lowest that is free.

        Ports and zones go by it, and so stay with a host when others come and go.
        """
        return dict(_numbers(tuple(host.name for host in self.hosts)))


@lru_cache(maxsize=64)
def _numbers(names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    taken: set[int] = set()
    for name in names:
        digits = re.search(r"\d{1,4}$", name)
        number = int(digits[0]) if digits else 0
        if 0 < number <= MOST_NUMBER and number not in taken:
            found[name] = number
            taken.add(number)
    free = (number for number in range(1, MOST_NUMBER) if number not in taken)
    return tuple((name, found.get(name) or next(free)) for name in names)


class Image(Value):
    """An image that is at hand. The install script checks no signature of such a one: its SHA-256 stands in for it."""

    file: Text
    sha256: Sha256


class Hetzner(Value):
    """Robot's login and the operator's SSH key, by reference; the distribution's install script, as a path, pinned.

    The script fetches the image of `fleet.release` and checks its signature: from the distribution's own server, or
    from a `mirror`. Or it writes a local `image`.
    """

    user: Reference
    password: Reference
    login_key: Reference
    installer: Text
    installer_sha256: Sha256
    mirror: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9./_~:@+=-]+$")] | None = None
    image: Image | None = None


class Dedicated(Value):
    """A dedicated server at Hetzner, by number, address, and the one disk that may be wiped, as in /dev/disk/by-id."""

    name: HostName
    server: Annotated[int, Field(ge=1)]
    address: IPv4Address
    disk: Wwn
    overlay_address: IPv4Address | None = None  # on the overlay only if it has one
    ssh_port: Annotated[int, Field(ge=1, le=65_535)] = 22
    firmware: Literal["uefi", "bios"] | None = None  # None: as its rescue system was booted


class Approver(Value):
    """Somebody who may approve what an operator is about to do, by the SSH key that signs the approval."""

    name: Text
    key: SshKey


class Approvers(Value):
    """How many others must approve a plan, who they are, and whether an operator may go alone in an emergency."""

    count: Annotated[int, Field(ge=1)]
    keys: Annotated[tuple[Approver, ...], Field(min_length=1)]
    break_glass: bool = False


class Lab(Value):
    """The loopback range that a lab of this environment runs in."""

    network: IPv4Network


class Fleet(Value):
    """All that shall exist in one environment."""

    environment: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    target: Target
    access: Access
    owner: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]  # the value of a tag (Azure: 256 characters)
    release: Release
    updates: Updates
    ssh_keys: Annotated[tuple[SshKey, ...], Field(min_length=1)]
    profile: Literal["bootable", "as-written"] = "bootable"
    overlay: Overlay
    etcd: Etcd
    azure: Azure | None = None
    clusters: tuple[Cluster, ...] = ()
    hetzner: Hetzner | None = None
    dedicated: tuple[Dedicated, ...] = ()
    approvers: Approvers | None = None
    lab: Lab | None = None

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All Azure hosts, cluster by cluster."""
        return tuple(host for cluster in self.clusters for host in cluster.hosts)

    @property
    def etcd_version(self) -> str:
        """The version that a new member brings, as far as the parameters say: coreos has etcd 2, flatcar a 3."""
        return self.etcd.version or ("2" if self.release.distribution == "coreos" else "3")

    def cluster_of(self, name: str) -> Cluster:
        """The cluster that a host belongs to; KeyError if it belongs to none."""
        for cluster in self.clusters:
            if any(host.name == name for host in cluster.hosts):
                return cluster
        raise KeyError(name)
