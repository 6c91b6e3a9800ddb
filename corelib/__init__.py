"""Runbooks for fleets of CoreOS-family hosts: the package that the notebooks call."""

__version__ = "0.1.0"
