"""Two stages: addresses are reserved first, with all that needs no machine; then what names them can be made. Pure."""

from __future__ import annotations

from ..fleet import Fleet
from .desired import resources
from .inventory import addresses
from .resource import Observed


def known_addresses(fleet: Fleet, observed: Observed) -> dict[str, str]:
    """The reserved addresses that others may be told, by `Cluster.reserved`.

    Those of clusters without machines are told only when all such clusters are whole but for them: so the plan of the
    first stage stays the one that was approved, however often it is interrupted. Where machines run, nothing is
    taken back while another cluster is added.
    """
    found = addresses(fleet, observed)
    running = {cluster.name for cluster in fleet.clusters if _has_machine(cluster.name, observed)}
    shared = [one for one in resources(fleet, {}) if one.cluster not in running]
    whole = all(_is_there(one.target, observed) for one in shared)
    return {name: at for name, at in found.items() if whole or name.split("/", maxsplit=1)[0] in running}


def _has_machine(cluster: str, observed: Observed) -> bool:
    return any(target.startswith(f"{cluster}/machine/") for target in observed.bodies)


def _is_there(target: str, observed: Observed) -> bool:
    properties = observed.bodies.get(target, {}).get("properties", {})
    return target in observed.bodies and properties.get("provisioningState", "Succeeded") == "Succeeded"
