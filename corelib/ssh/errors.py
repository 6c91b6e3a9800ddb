"""What can go wrong over SSH, as a tree below the project's own kinds.

SshError
├── HostKeyMismatch     the machine answers with another host key than the pinned one
├── NoSsh               nothing answers on that port
├── NotLetIn            the key was not accepted
├── CommandFailed       a command on the machine ended with an exit code other than 0
└── CommandTimedOut     a command did not end by its deadline
"""

from __future__ import annotations

from ..errors import Refused, RunbookError, ServiceFailed, TimedOut, Unreachable


class SshError(RunbookError):
    """Something went wrong between here and a machine's shell."""


class HostKeyMismatch(SshError, Refused):
    """Another host key than the pinned one."""

    def __init__(self, doing: str, pinned: str, found: str, remedy: str) -> None:
        super().__init__(doing, f"it answers with the host key {found}, pinned is {pinned}", remedy)
        self.fingerprint = found


class NoSsh(SshError, Unreachable):
    """Nothing answers."""


class NotLetIn(SshError, ServiceFailed):
    """The key was not accepted."""


class CommandFailed(SshError, ServiceFailed):
    """A command failed."""


class CommandTimedOut(SshError, TimedOut):
    """A command did not end in time."""
