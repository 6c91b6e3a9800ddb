"""What a subscription allows: is it the right one, may this login do it, is there room. Checks of a preflight. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..fleet import Azure
from ..report import Finding
from . import needs as wanted
from .facts import Facts, Usage
from .needs import Needs

REGISTERED = "Registered"
TIGHT = 0.8  # of a quota: told, and no reason to stop


def login(account: Azure, _needs: Needs, facts: Facts) -> Iterator[Finding]:
    """The subscription is there, of the tenant that the parameters name, and takes changes."""
    found, where = facts.subscription, f"subscription/{account.subscription}"
    if found is None:
        return
    if found.tenant and found.tenant != account.tenant:
        message = f"it belongs to the tenant {found.tenant}, and the parameters say {account.tenant}"
        yield Finding("error", where, message, "correct fleet.azure.tenant or fleet.azure.subscription")
    if found.state in ("Disabled", "Deleted"):
        remedy = "enable it again (portal: Subscriptions), or use another"
        yield Finding("error", where, f"it is {found.state}, and takes no changes", remedy)
    elif found.state != "Enabled":
        message = f"the subscription {account.subscription} is {found.state}"
        yield Finding("warning", where, message, "see to its payment before it is disabled")


def rights(account: Azure, needs: Needs, facts: Facts) -> Iterator[Finding]:
    """The login may do what the plan does."""
    for scope, actions in needs.rights().items():
        rights = facts.rights.get(scope)
        if rights is None:
            continue
        missing = [action for action in actions if not any(right.allows(action) for right in rights)]
        if missing:
            place = f"the resource group {scope}" if scope else "the subscription"
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            where = f"rights/{scope or account.subscription}"
            remedy = f"have somebody give it the role Contributor in {place} (az role assignment create)"
            yield Finding("error", where, f"this login has no right to {missing[0]}{more}", remedy)


def providers(_account: Azure, _needs: Needs, facts: Facts) -> Iterator[Finding]:
    """Each provider is registered."""
    for namespace, state in facts.providers.items():
        if state != REGISTERED:
            message = f"{namespace} is {state} in this subscription, and refuses everything until it is Registered"
            remedy = f"az provider register --wait --namespace {namespace}"
            yield Finding("error", f"provider/{namespace}", message, remedy)


def quotas(_account: Azure, needs: Needs, facts: Facts) -> Iterator[Finding]:
    """What is to be made fits into what is left of each quota."""
    demand = needs.counted() + _cores(needs, facts)
    for (location, name), number in sorted(demand.items()):
        usage = facts.usages.get(location, {}).get(name)
        if usage is not None:
            yield from _quota(location, name, number, usage)


def _quota(location: str, name: str, number: int, usage: Usage) -> Iterator[Finding]:
    words, total, left = usage.words or name, usage.used + number, max(0, usage.limit - usage.used)
    if total > usage.limit:
        message = f"{number} more of {words} are needed in {location}, and {left} of {usage.limit} are left"
        remedy = f"ask for {total} (portal: Quotas), or use another size or location"
        yield Finding("error", f"quota/{location}/{name}", message, remedy)
    elif total > TIGHT * usage.limit:
        message = f"{words} in {location} will stand at {total} of {usage.limit}"
        remedy = "ask for more before you need it (portal: Quotas)"
        yield Finding("warning", f"quota/{location}/{name}", message, remedy)


def _cores(needs: Needs, facts: Facts) -> Counter[tuple[str, str]]:
    """Cores by family and in all: those of new machines, and what another size takes more."""
    found: Counter[tuple[str, str]] = Counter()
    for machine in needs.machines():
        at, sizes = wanted.location(machine), facts.sizes.get(wanted.location(machine), {})
        for sign, name in ((1, wanted.size(machine)), (-1, needs.sizes.get(machine.target, ""))):
            size = sizes.get(name.lower())
            if size is not None:
                found[at, size.family] += sign * size.cores
                found[at, "cores"] += sign * size.cores
    return +found
