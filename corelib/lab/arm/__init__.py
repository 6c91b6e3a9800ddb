"""A stand-in for Azure Resource Manager: the real SDK talks to it over TLS, and machines become the lab's hosts.

It models what a client of a small fleet meets: groups, networks, disks and machines with their references, in-use
rules, long-running operations, paging, etags, write-only custom data, and errors in Azure's words. What it does not
model, it refuses in the same words rather than pretend.
"""

from __future__ import annotations

from dataclasses import dataclass

from tornado.httpserver import HTTPServer

from ..site import ARM_PORT, CONTROL, IDENTITY_PORT, Hosts, Site
from .cloud import Cloud, Reply, Request
from .failure import Failure
from .identity import Identity
from .operations import Operation, Operations, Outcome, Timing, succeed
from .router import route
from .web import appending, application

__all__ = ["Failure", "Operation", "Outcome", "StandIn", "Timing", "serve", "start"]


@dataclass(frozen=True, slots=True)
class StandIn:
    """A running stand-in: where it is reached, and its two servers."""

    endpoints: dict[str, str]
    servers: tuple[HTTPServer, HTTPServer]

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


async def start(site: Site, hosts: Hosts, timing: Timing = Timing(), outcome: Outcome = succeed) -> StandIn:  # noqa: B008 - frozen
    """As `serve`, for who wants to stop it again."""
    address = site.address(CONTROL)
    url, identity = f"https://{address}:{ARM_PORT}", Identity()
    cloud = Cloud(site, hosts, url, timing, Operations(outcome))

    def answer(request: Request) -> Reply:
        identity.check(request.headers)
        return route(cloud, request)

    log = appending(site.folder / "arm.log")
    arm = HTTPServer(application(answer, log), ssl_options=site.tls)
    tokens = HTTPServer(application(identity.issue, log))
    arm.listen(ARM_PORT, address)
    try:
        tokens.listen(IDENTITY_PORT, address)
    except OSError:
        arm.stop()
        raise
    where = {"arm": url, "identity": f"http://{address}:{IDENTITY_PORT}/msi/token", "identity_header": identity.secret}
    return StandIn(where, (arm, tokens))
