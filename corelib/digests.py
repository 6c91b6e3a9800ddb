"""SHA-1 and BLAKE2 by the interpreter's own code: `hashlib` loads all of OpenSSL, 6 ms of a whole `runbooks verify`.

As the standard library's `random` does it; an interpreter that was built without its own code has hashlib's.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import blake2b, sha1
else:
    try:
        from _blake2 import blake2b
        from _sha1 import sha1
    except ImportError:
        from hashlib import blake2b, sha1

__all__ = ["blake2b", "sha1"]
