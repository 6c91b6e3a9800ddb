"""Whether an endpoint is on this machine, so that a proxy of the environment is not for it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from urllib.parse import urlsplit

_LOOPBACK = IPv4Network("127.0.0.0/8")


def is_loopback(endpoint: str) -> bool:
    """True if a URL's host, or an address, is written as one of 127.0.0.0/8 (names are not resolved)."""
    host = urlsplit(endpoint).hostname if "://" in endpoint else endpoint
    try:
        return IPv4Address(host or "") in _LOOPBACK
    except ValueError:
        return False
