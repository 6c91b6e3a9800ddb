"""What each release's reader of `#cloud-config` accepts, as data, and what each release ships.

Sources: coreos-cloudinit 1.14.0 (Container Linux, 2018), config/*.go with its `yaml`, `valid` and `deprecated` tags;
the Flatcar fork (2026). The accepted keys are the same; what differs is said in `Release`. Keys stand here with
underscores, the spelling that both read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "whole", "flag", "texts", "map", "maps"]


@dataclass(frozen=True, slots=True)
class Key:
    """What may stand under a key: its kind, the keys below it, and the reader's own `valid` and `deprecated`."""

    kind: Kind
    keys: Mapping[str, Key] = field(default_factory=dict)
    pattern: str = ""
    deprecated: str = ""  # what to use instead


@dataclass(frozen=True, slots=True)
class Release:
    """One generation of hosts. `hyphens`: it reads `drop-ins` as `drop_ins`; `shipped`: the etcd service it has."""

    name: str
    hyphens: bool
    strict_numbers: bool  # a whole number written as text makes it refuse the whole document
    strategies: frozenset[str]
    shipped: frozenset[str]
    gone: Mapping[str, str]  # section of `coreos`: why it does nothing


COREOS = Release(
    "coreos",
    hyphens=True,
    strict_numbers=False,
    strategies=frozenset({"best-effort", "etcd-lock", "reboot", "off"}),  # best-effort: 2015 only
    shipped=frozenset({"etcd.service", "etcd2.service", "etcd-member.service", "fleet.service"}),
    gone={},
)
FLATCAR = Release(
    "flatcar",
    hyphens=False,  # since stable 3975.2.0 (2024); its validator does not report them
    strict_numbers=True,
    strategies=frozenset({"etcd-lock", "reboot", "off"}),
    shipped=frozenset({"etcd-member.service"}),
    gone={name: f"{name} is no longer shipped" for name in ("etcd", "etcd2", "fleet")},
)
RELEASES = {release.name: release for release in (COREOS, FLATCAR)}

CHANNELS = {"stable", "beta", "alpha", "lts"}  # `group` is not checked by the reader
AZURE_LIMIT = 65_535  # bytes of custom data before base64 (Azure: osProfile.customData)

_ENCODING = r"^(base64|b64|gz|gzip|gz\+base64|gzip\+base64|gz\+b64|gzip\+b64)$"
_WINDOW = r"^((?i:sun|mon|tue|wed|thu|fri|sat) )?0*([0-9]|1[0-9]|2[0-3]):0*[0-5]?[0-9]$"
_COMMAND = r"^(start|stop|restart|reload|try-restart|reload-or-restart|reload-or-try-restart)$"


def _all(kind: Kind, names: str) -> dict[str, Key]:
    return {name: Key(kind) for name in names.split()}


_ETCD2 = {
    **_all("text", "advertise_client_urls ca_file cert_file cors data_dir discovery discovery_fallback discovery_srv"),
    **_all("text", "discovery_proxy initial_advertise_peer_urls initial_cluster initial_cluster_state"),
    **_all("text", "initial_cluster_token key_file listen_client_urls listen_peer_urls log_package_levels name"),
    **_all("text", "peer_ca_file peer_cert_file peer_key_file peer_trusted_ca_file trusted_ca_file wal_dir"),
    **_all("whole", "election_timeout heartbeat_interval max_snapshots max_wals snapshot_count proxy_dial_timeout"),
    **_all("whole", "proxy_failure_wait proxy_read_timeout proxy_refresh_interval proxy_write_timeout"),
    **_all("flag", "client_cert_auth debug enable_pprof force_new_cluster peer_client_cert_auth strict_reconfig_check"),
    "proxy": Key("text", pattern="^(on|off|readonly)$"),
    "ca_file": Key("text", deprecated="use trusted_ca_file and client_cert_auth"),
    "peer_ca_file": Key("text", deprecated="use peer_trusted_ca_file and peer_client_cert_auth"),
}
_ETCD = {
    **_all("text", "addr bind_addr ca_file cert_file cors data_dir discovery key_file name peer_addr peer_bind_addr"),
    **_all("text", "peer_ca_file peer_cert_file peer_key_file peers peers_file"),
    **_all("whole", "cluster_active_size cluster_remove_delay cluster_sync_interval http_read_timeout"),
    **_all("whole", "http_write_timeout max_result_buffer max_retry_attempts peer_election_timeout"),
    **_all("whole", "peer_heartbeat_interval retry_interval snapshot_count"),
    **_all("flag", "cpu_profile_file snapshot verbose very_verbose very_very_verbose"),
}
_FLEET = {
    **_all("text", "agent_ttl engine_reconcile_interval etcd_cafile etcd_certfile etcd_keyfile etcd_key_prefix"),
    **_all("text", "etcd_request_timeout etcd_servers etcd_username etcd_password metadata public_ip verbosity"),
    **_all("text", "token_limit authorize_units"),
}
_LOCKSMITH = {
    **_all("text", "endpoint etcd_cafile etcd_certfile etcd_keyfile etcd_username etcd_password group"),
    "window_start": Key("text", pattern=_WINDOW),
    "window_length": Key("text", pattern=r"^[-+]?([0-9]*(\.[0-9]*)?[a-z]+)+$"),
}
_UNIT = {
    **_all("text", "name content"),
    **_all("flag", "mask enable runtime"),
    "command": Key("text", pattern=_COMMAND),
    "drop_ins": Key("maps", _all("text", "name content")),
}
_FILE = {
    **_all("text", "content owner path"),
    "encoding": Key("text", pattern=_ENCODING),
    "permissions": Key("text", pattern="^0?[0-7]{3,4}$"),
}
_USER = {
    **_all("text", "name passwd coreos_ssh_import_github coreos_ssh_import_url gecos homedir primary_group shell"),
    **_all("texts", "ssh_authorized_keys groups coreos_ssh_import_github_users"),
    **_all("flag", "no_create_home no_user_group system no_log_init"),
}
_COREOS_KEYS = {
    "etcd": Key("map", _ETCD),
    "etcd2": Key("map", _ETCD2),
    "flannel": Key("map", _all("text", "etcd_endpoints etcd_endpoint etcd_prefix ip_masq subnet_file iface public_ip "
                                       "etcd_cafile etcd_certfile etcd_keyfile etcd_username etcd_password interface")),
    "fleet": Key("map", _FLEET),
    "locksmith": Key("map", _LOCKSMITH),
    "oem": Key("map", _all("text", "id name version_id home_url bug_report_url")),
    "update": Key("map", _all("text", "group server reboot_strategy")),
    "units": Key("maps", _UNIT),
}  # fmt: skip
DOCUMENT = Key(
    "map",
    {
        **_all("text", "hostname manage_etc_hosts"),
        "ssh_authorized_keys": Key("texts"),
        "coreos": Key("map", _COREOS_KEYS),
        "write_files": Key("maps", _FILE),
        "users": Key("maps", _USER),
    },
)
