"""Dedicated machines at Hetzner: from the rescue system to an installed, verified host.

`observe` asks, `plan` decides, `install` acts. Until its guards are complete it works on loopback endpoints only.
"""
