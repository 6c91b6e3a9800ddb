"""Where a run acts: the providers' own endpoints, or a lab's. The only place that tells the two apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput
from ..fleet import Fleet

if TYPE_CHECKING:
    from .. import lab

ARM = "https://management.azure.com"
ROBOT = "https://robot-ws.your-server.de"  # Hetzner's reference of the Robot webservice

# What would log in somewhere else than at the lab's own managed-identity endpoint (azure-identity's environment).
_FOREIGN = ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE")


@dataclass
class Targets:
    """The endpoints of one fleet's target; a lab is started, and held, at the first question that needs it."""

    fleet: Fleet
    root: Path
    secret: Callable[[str], str]
    _lease: lab.Lease | None = None

    @classmethod
    def of(cls, fleet: Fleet, root: Path, secret: Callable[[str], str]) -> Targets:
        """The targets of a fleet; `secret` resolves a reference and hides its value."""
        return cls(fleet, root, secret)

    @property
    def description(self) -> str:
        """Where it acts, in words."""
        if self.fleet.lab is not None and self.fleet.target == "lab":
            return f"local stand-ins on {self.fleet.lab.network}; nothing leaves this machine"
        return f"{ARM} and {ROBOT}"

    def hold_lab(self) -> lab.Endpoints | None:
        """Start the lab if the target is one and none runs, and keep it for as long as this process; None if real."""
        if self.fleet.target != "lab":
            return None
        if self._lease is None:
            assert self.fleet.lab is not None  # noqa: S101 - checked with the parameters
            from .. import lab  # noqa: PLC0415 - slow to load, with its SSH; a real target needs nothing of it

            self._lease = lab.ensure(self.root, self.fleet.lab.network)
        return self._lease.endpoints

    def azure(self) -> tuple[str | None, str | None]:
        """Endpoint and CA file for Azure's clients; None, None for Azure itself."""
        endpoints = self.hold_lab()
        if endpoints is None:
            return None, None
        for name in _FOREIGN:
            os.environ.pop(name, None)
        # A proxy of the environment is not for a lab; requests takes ranges in this variable.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.0/8"
        os.environ["IDENTITY_ENDPOINT"] = endpoints.identity
        os.environ["IDENTITY_HEADER"] = endpoints.identity_header
        return endpoints.arm, endpoints.ca

    def robot(self) -> tuple[str, str | None]:
        """Endpoint and CA file for Robot; the CA is None for Robot itself."""
        endpoints = self.hold_lab()
        return (ROBOT, None) if endpoints is None else (endpoints.robot, endpoints.ca)

    def robot_login(self) -> tuple[str, str]:
        """User and password for Robot. Raises BadInput if they cannot be read."""
        hetzner = self.fleet.hetzner
        if hetzner is None:
            raise BadInput("logging in to Robot", "the parameters have no fleet.hetzner", "add it")
        self.hold_lab()  # the lab writes its own login when it starts
        return self.secret(hetzner.user), self.secret(hetzner.password)
