"""Dedicated machines at Hetzner: from the rescue system to an installed, verified host.

`observe` asks, `plan` decides, `install` acts: first a look at the disks from the rescue system, then, under an
approval that names one of them, its wipe and all that follows. `guards` stand between that and a wrong disk.
"""
