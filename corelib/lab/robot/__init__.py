"""A stand-in for Hetzner's Robot and for dedicated machines, with real SSH and disks that are files.

What a session on a machine runs is run for real, in namespaces in which the machine's disks are all the disks there
are (`inside`). It knows as much of Robot and of an install as the project meets, and refuses the rest.
"""

from __future__ import annotations

from tornado.httpserver import HTTPServer

from ..places import CONTROL, ROBOT_PORT
from ..site import Site
from . import credentials
from .account import Account, Server
from .faults import Faults
from .limits import Limits, Refusals
from .machine import FIRST, Machine, Timing, make_disks
from .web import Login, application

__all__ = ["Faults", "Timing", "serve"]

OCTET = 200


async def serve(site: Site, timing: Timing = Timing(), faults: Faults = Faults(), servers: int = 1) -> dict[str, str]:  # noqa: B008 - frozen
    """Serve on the running loop, in the main thread, for as long as it runs. Returns `robot`, its URL.

    Writes `robot-user`, `robot-password`, `operator_ed25519` and `flatcar-install` into the site's folder, and the
    machines' disks below `machines/`. There is room for 50 servers. Raises OSError when an address is taken.
    """
    login, account = Login(*credentials.write(site.folder)), Account()
    for one in range(servers):
        number, address = FIRST + one, site.address(OCTET + one)
        disks = make_disks(site.folder / "machines" / str(number), number, faults)
        machine = Machine(site, address, disks, timing, faults)
        wake = machine.wake if faults.wol else None
        account.servers[number] = Server(number, f"ded-lab-{one + 1:02}", address, machine.reset, account.keys, wake)
        machine.take_rescue = account.servers[number].take_rescue
        machine.start()
    service = application(account, login, site.folder / "robot.log", Limits(timing.speed), Refusals(faults.robot))
    web = HTTPServer(service, ssl_options=site.tls)
    web.listen(ROBOT_PORT, site.address(CONTROL))
    return {"robot": f"https://{site.address(CONTROL)}:{ROBOT_PORT}"}
