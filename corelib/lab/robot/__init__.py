"""A stand-in for Hetzner's Robot and for one dedicated machine, with real SSH and disks that are files.

What a session on the machine runs is run for real, in namespaces in which the machine's disks are all the disks
there are (`inside`). It knows as much of Robot and of an install as the project meets, and refuses the rest.
"""

from __future__ import annotations

from tornado.httpserver import HTTPServer

from ..site import CONTROL, ROBOT_PORT, Site
from . import credentials
from .account import Account
from .machine import Faults, Machine, Timing, make_disks
from .web import Login, application

__all__ = ["Faults", "Timing", "serve"]

SERVER, NAME, OCTET = 321, "ded-lab-01", 200


async def serve(site: Site, timing: Timing = Timing(), faults: Faults = Faults()) -> dict[str, str]:  # noqa: B008 - frozen
    """Serve on the running loop, in the main thread, for as long as it runs. Returns `robot`, its URL.

    Writes `robot-user`, `robot-password`, `operator_ed25519` and `flatcar-install` into the site's folder, and the
    machine's disks below `machines/`. Raises OSError when an address is taken.
    """
    login = Login(*credentials.write(site.folder))
    address = site.address(OCTET)
    machine = Machine(site, address, make_disks(site.folder / "machines" / str(SERVER)), timing, faults)
    account = Account(SERVER, NAME, address, machine.reset)
    machine.take_rescue = account.take_rescue
    web = HTTPServer(application(account, login, site.folder / "robot.log"), ssl_options=site.tls)
    web.listen(ROBOT_PORT, site.address(CONTROL))
    return {"robot": f"https://{site.address(CONTROL)}:{ROBOT_PORT}"}
