"""SSH to exactly the pinned host key: commands and connections on a machine, for everybody who logs in to one."""

from .errors import CommandFailed, CommandTimedOut, HostKeyMismatch, NoSsh, NotLetIn, SshError
from .keys import KeyPair, fingerprint, md5, private_key
from .shell import Address, Done, Shell, host_key

__all__ = [
    "Address",
    "CommandFailed",
    "CommandTimedOut",
    "Done",
    "HostKeyMismatch",
    "KeyPair",
    "NoSsh",
    "NotLetIn",
    "Shell",
    "SshError",
    "fingerprint",
    "host_key",
    "md5",
    "private_key",
]
