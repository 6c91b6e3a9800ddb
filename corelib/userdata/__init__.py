"""User-data: what a host is told at its first boot, as `#cloud-config`. All of it is pure."""

from . import overlay
from .difference import Difference, differences
from .render import UserData, findings, render, require

__all__ = ["Difference", "UserData", "differences", "findings", "overlay", "render", "require"]
