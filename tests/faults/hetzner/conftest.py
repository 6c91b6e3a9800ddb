from __future__ import annotations

from tests.hetzner.conftest import _nothing_but_loopback

__all__ = ["_nothing_but_loopback"]
