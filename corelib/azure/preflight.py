"""Preflight: would what a plan is to make be refused? All that is known of it before the first request. Pure.

Each check yields what is wrong, in an operator's words; what could not be asked is said, and is neither passed nor
failed. Ranges that overlap are contradictions of the parameters; user-data that is too long is the plan's own to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..fleet import Azure
from ..plan import Plan, Step
from ..report import Finding
from . import allowances, offers
from .allowances import REGISTERED
from .facts import Facts
from .needs import Needs
from .resource import Kind, Resource

_NAMES: dict[Kind, int] = {"group": 90, "network": 64, "machine": 64}  # Azure: naming rules; 80 for the others

Check = Callable[[Azure, Needs, Facts], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found: what forbids an apply, what is only to be told, and the names of the checks that passed."""

    findings: tuple[Finding, ...] = ()
    passed: tuple[str, ...] = ()

    def onto(self, plan: Plan) -> Plan:
        """The plan with its blocked steps first, and what there is to be said of it."""
        blocked = tuple(_blocked(one) for one in self.findings if one.severity == "error")
        told = tuple(f"{one.message}: {one.remedy}" for one in self.findings if one.severity == "warning")
        return replace(plan, steps=(*blocked, *plan.steps), checked=self._said(), warnings=(*plan.warnings, *told))

    def _said(self) -> str:
        number, names = len(self.passed), ", ".join(self.passed)
        if not self.passed:
            return ""
        many = f"{number}" if number == len(_CHECKS) else f"{number} of {len(_CHECKS)}"
        return f"Preflight: {many} checks passed: {names}"


def preflight(account: Azure, needs: Needs, facts: Facts) -> Preflight:
    """Judge all at once; nothing is judged where nothing is to be made."""
    if not needs:
        return Preflight()
    found = {name: tuple(check(account, needs, facts)) for name, (check, _) in _CHECKS.items()}
    silent = tuple(_silent(facts))
    passed = tuple(name for name, (_, kinds) in _CHECKS.items() if not found[name] and _answered(facts, kinds))
    return Preflight((*(one for some in found.values() for one in some), *silent), passed)


def _blocked(finding: Finding) -> Step:
    return Step(finding.where, "blocked", "preflight", f"{finding.message}: {finding.remedy}")


def _silent(facts: Facts) -> Iterator[Finding]:
    for question, why in facts.silent.items():
        remedy = "this was not checked; the apply will tell, or ask for the right to read it"
        yield Finding("warning", f"preflight/{question}", f"Azure did not say about {question} ({why})", remedy)


def _answered(facts: Facts, kinds: tuple[str, ...]) -> bool:
    """Whether all that a check asks was answered; what is not registered tells nothing but that."""
    silent = {question.split(" ")[0] for question in facts.silent}
    told = {"subscription", "rights", "providers"}
    closed = any(state != REGISTERED for state in facts.providers.values())
    return not silent & set(kinds) and not (closed and set(kinds) - told)


def _way_out(_account: Azure, needs: Needs, _facts: Facts) -> Iterator[Finding]:
    """Each interface has an explicit way out: without one, hosts in a new subnet reach nothing (since 2025-09)."""
    pools = {pool.lower() for one in needs.desired if one.kind == "load-balancer" for pool in _outbound(one)}
    for one in needs.coming:
        for config in one.body["properties"]["ipConfigurations"] if one.kind == "interface" else ():
            properties = config["properties"]
            through = {p["id"].lower() for p in properties.get("loadBalancerBackendAddressPools", ())}
            if not through & pools and "publicIPAddress" not in properties:
                message = "it has no way out: no outbound rule, no address of its own"
                yield Finding("error", one.target, message, "tell the developers: the plan is wrong")


def _names(_account: Azure, needs: Needs, _facts: Facts) -> Iterator[Finding]:
    for one in needs.coming:
        limit = _NAMES.get(one.kind, 80)
        if len(one.name) > limit:
            message = f"its name has {len(one.name)} characters, and Azure takes {limit} of a {one.kind}"
            yield Finding("error", one.target, message, "give the host or the cluster a shorter name")


# By name: the check, and the kinds of questions that it needs an answer to.
_CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {
    "login and subscription": (allowances.login, ("subscription",)),
    "rights": (allowances.rights, ("rights",)),
    "providers": (allowances.providers, ("providers",)),
    "quotas": (allowances.quotas, ("compute", "network")),
    "sizes and zones": (offers.sizes, ("sizes",)),
    "disks": (offers.disks, ("sizes",)),
    "images": (offers.images, ("images",)),
    "terms": (offers.terms, ("images",)),
    "way out": (_way_out, ()),
    "names": (_names, ()),
}


def _outbound(balancer: Resource) -> Iterator[str]:
    for rule in balancer.body["properties"].get("outboundRules", ()):
        yield str(rule["properties"]["backendAddressPool"]["id"])
