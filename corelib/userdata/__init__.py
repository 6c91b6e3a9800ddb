"""User-data: what a host is told at its first boot, as `#cloud-config`. All of it is pure."""

from .render import UserData, difference, findings, render

__all__ = ["UserData", "difference", "findings", "render"]
