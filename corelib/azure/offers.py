"""What Azure offers where hosts shall be: sizes and zones, disks, images, terms. Checks of a preflight. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ..fleet import Azure
from ..report import Finding
from . import needs as wanted
from .facts import Facts, Size
from .needs import Needs
from .resource import Resource


def sizes(_account: Azure, needs: Needs, facts: Facts) -> Iterator[Finding]:
    """Each size is to be had where it is wanted, in the zones that are wanted."""
    for (at, name), machines in _by_size(needs).items():
        sizes, where = facts.sizes.get(at), f"size/{at}/{name}"
        if sizes is None:
            continue
        size = sizes.get(name.lower())
        zones = {zone for one in machines for zone in wanted.zones(one)}
        if size is None:
            remedy = f"az vm list-skus --location {at} --resource-type virtualMachines lists those that there are"
            yield Finding("error", where, f"there is no size {name} in {at}", remedy)
        elif size.closed:
            yield Finding("error", where, f"{name} is not open to this subscription in {at}", _another(at))
        elif lacking := sorted(zones - (size.zones - size.closed_zones)):
            open_ones = ", ".join(sorted(size.zones - size.closed_zones)) or "none"
            message = f"{name} is not to be had in zone {' and '.join(lacking)} of {at} (zones: {open_ones})"
            yield Finding("error", where, message, "choose other zones, or another size")


def disks(_account: Azure, needs: Needs, facts: Facts) -> Iterator[Finding]:
    """Each size takes the disks that its machines have, where the user-data looks for them."""
    premium = {one.target for one in needs.desired if any(kind.startswith("Premium") for kind in wanted.storage(one))}
    for (at, name), machines in _by_size(needs).items():
        size = _known(facts, at, name)
        if size is None:
            continue
        if not size.premium and any({one.target, *one.after} & premium for one in machines):
            remedy = "choose a size with an s in its name, such as Standard_D2s_v5"
            yield Finding("error", f"size/{at}/{name}", f"{name} takes no premium disks, and etcd's is one", remedy)
        if "SCSI" not in size.controllers:
            message = f"{name} has its disks on NVMe only, and a host looks for etcd's disk by its LUN on SCSI"
            yield Finding("error", f"size/{at}/{name}", message, "choose a size with SCSI, such as a v5")


def images(_account: Azure, needs: Needs, facts: Facts) -> Iterator[Finding]:
    """Each image exists, in the version that is meant, and its machines can boot it."""
    for urn, version in needs.images().items():
        image, where = facts.images.get(urn), f"image/{urn.location}/{urn}"
        if image is None:
            if version == wanted.LATEST:
                message = f"which version of {urn} is the current one in {urn.location} could not be found out"
                yield Finding("error", where, message, "name one: fleet.release.version")
            continue
        if not image.version:
            known = f"its newest: {', '.join(image.versions[-3:])}" if image.versions else "there is no such image"
            message = f"{urn} has no version {version} in {urn.location} ({known})"
            yield Finding("error", where, message, "correct fleet.release")
        elif image.state == "Deprecated":
            message = f"{urn}:{image.version} is no longer sold"
            yield Finding("error", where, message, "choose a newer fleet.release.version")
        elif image.state == "ScheduledForDeprecation":
            message = f"{urn}:{image.version} will soon be no longer sold"
            yield Finding("warning", where, message, "choose a newer fleet.release.version")
        for name in sorted({wanted.size(one) for one in _booting(needs, urn)}):
            size = _known(facts, urn.location, name)
            if image.version and size is not None:
                yield from _bootable(where, urn.location, name, size, (image.architecture, image.generation))


def _bootable(where: str, at: str, name: str, size: Size, image: tuple[str, str]) -> Iterator[Finding]:
    architecture, generation = image
    if architecture and architecture != size.architecture:
        message = f"{name} has {size.architecture} processors, and the image is for {architecture}"
        yield Finding("error", f"size/{at}/{name}", message, "choose a size without a p in its name")
    elif generation and generation not in size.generations:
        message = f"{name} boots {' and '.join(sorted(size.generations))}, and the image is {generation}"
        yield Finding("error", f"size/{at}/{name}", message, f"choose another size, or another image than {where}")


def terms(_account: Azure, needs: Needs, facts: Facts) -> Iterator[Finding]:
    """What is sold under a plan is bought: the machine names the plan, and its terms were accepted."""
    for urn in needs.images():
        image, where = facts.images.get(urn), f"image/{urn.location}/{urn}"
        if image is None or image.plan is None:
            continue
        if any("plan" not in one.body for one in _booting(needs, urn)):
            message = f"{urn} is sold under the plan {image.plan[2]}, which the machines do not name"
            yield Finding("error", where, message, "use the offer flatcar-container-linux-corevm-amd64, which has none")
        if not image.accepted:
            remedy = f"read and accept them: az vm image terms accept --urn {urn}:{image.version}"
            yield Finding("error", where, f"the terms of {urn} were not accepted in this subscription", remedy)


def _by_size(needs: Needs) -> dict[tuple[str, str], list[Resource]]:
    found: defaultdict[tuple[str, str], list[Resource]] = defaultdict(list)
    for machine in needs.machines():
        found[wanted.location(machine), wanted.size(machine)].append(machine)
    return found


def _booting(needs: Needs, urn: wanted.Urn) -> Iterator[Resource]:
    return (one for one in needs.machines() if wanted.urn(one) == urn)


def _known(facts: Facts, at: str, name: str) -> Size | None:
    return facts.sizes.get(at, {}).get(name.lower())


def _another(at: str) -> str:
    return f"have it opened (portal: Quotas), or choose another: az vm list-skus --location {at} shows restrictions"
