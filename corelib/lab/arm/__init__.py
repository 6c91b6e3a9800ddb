"""A stand-in for Azure Resource Manager: the real SDK talks to it over TLS, and machines become the lab's hosts.

It models what a client of a small fleet meets: groups, networks, disks and machines with their references, in-use
rules, long-running operations, paging, etags, write-only custom data, registration, quotas, sizes and images, rights,
throttling, and errors in Azure's words. What it does not model, it refuses in the same words rather than pretend.
Faults and a subscription's limits are told to it while it runs (`control`); its clock may run faster than ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tornado.httpserver import HTTPServer

from ..places import ARM_PORT, CONTROL, IDENTITY_PORT
from ..site import Hosts, Site
from . import control
from .account import Account
from .cloud import Cloud, Reply, Request
from .failure import Failure
from .faults import Fault, Faults
from .identity import Identity
from .operations import AZURE, Operation, Operations, Outcome, Timing, succeed
from .router import route
from .throttle import Limit, Limits, Throttle
from .web import Answer, Meet, appending, application

__all__ = [
    "AZURE",
    "Account",
    "Failure",
    "Fault",
    "Limit",
    "Limits",
    "Operation",
    "Outcome",
    "StandIn",
    "Timing",
    "control",
    "serve",
    "start",
]

USUAL = Account()


@dataclass(frozen=True, slots=True)
class StandIn:
    """A running stand-in: where it is reached, its two servers, and what can be told to it (on its own loop)."""

    endpoints: dict[str, str]
    servers: tuple[HTTPServer, HTTPServer]
    cloud: Cloud
    faults: Faults

    async def close(self) -> None:
        """Stop listening and end all connections."""
        for server in self.servers:
            server.stop()
            await server.close_all_connections()


async def serve(site: Site, hosts: Hosts, timing: Timing = Timing(), outcome: Outcome = succeed) -> dict[str, str]:  # noqa: B008 - frozen
    """Serve on the running loop for as long as it runs. Returns `arm`, `identity` and `identity_header`.

    The first two are URLs, the third is the secret that the identity endpoint asks for. Raises OSError when an
    address is taken.
    """
    return (await start(site, hosts, timing, outcome)).endpoints


async def start(
    site: Site,
    hosts: Hosts,
    timing: Timing = Timing(),  # noqa: B008 - frozen
    outcome: Outcome = succeed,
    limits: Limits | None = Limits(),  # noqa: B008 - frozen
    usual: Account = USUAL,
) -> StandIn:
    """As `serve`, for who wants to stop it again, or to tell it something.

    `usual` is what every subscription may do of which nothing else is said; without `limits` nothing is throttled.
    """
    address, identity, faults = site.address(CONTROL), Identity(), Faults()
    url, log = f"https://{address}:{ARM_PORT}", appending(site.folder / "arm.log")
    cloud = Cloud(site, hosts, url, timing, Operations(outcome, timing, faults), usual=usual)
    answer, meet = _answering(cloud, identity, Throttle(timing, limits)), _meeting(faults, identity, timing)
    arm = HTTPServer(application(answer, log, meet), ssl_options=site.tls)
    tokens = HTTPServer(application(identity.issue, log, faults.of_request))
    arm.listen(ARM_PORT, address)
    try:
        tokens.listen(IDENTITY_PORT, address)
    except OSError:
        arm.stop()
        raise
    where = {"arm": url, "identity": f"http://{address}:{IDENTITY_PORT}/msi/token", "identity_header": identity.secret}
    return StandIn(where, (arm, tokens), cloud, faults)


def _answering(cloud: Cloud, identity: Identity, throttle: Throttle) -> Answer:
    """In Azure's order: who asks, whether too often, and only then what."""

    def answer(request: Request) -> Reply:
        identity.check(request.headers)
        return throttle.through(request, lambda: route(cloud, request))

    return answer


def _meeting(faults: Faults, identity: Identity, timing: Timing) -> Meet:
    """What goes wrong with a request, its seconds told in ours."""

    def meet(method: str, path: str) -> Fault | None:
        fault = faults.of_request(method, path)
        if fault and fault.do == "expire":
            identity.expire()
        return fault and replace(fault, seconds=timing.real(fault.seconds))

    return meet
