"""The lab: local stand-ins for both providers, with real etcd processes and real SSH behind them.

It shares no code with what it stands in for: nothing here imports `userdata`, `azure`, `hetzner` or `etcd`.
"""

from .client import Endpoints, HostStatus, LabError, Lease, Status, ensure, start, status, stop
from .orders import account, faults, faults_left

__all__ = [
    "Endpoints",
    "HostStatus",
    "LabError",
    "Lease",
    "Status",
    "account",
    "ensure",
    "faults",
    "faults_left",
    "start",
    "status",
    "stop",
]
