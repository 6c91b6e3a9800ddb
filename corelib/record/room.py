"""Room on the disk that is kept behind a journal's end, so that a full disk still takes the last words of a run.

fallocate(2) with FALLOC_FL_KEEP_SIZE: blocks are set aside for a file without making it longer. Where a file system
cannot do that there is no room kept, and a full disk is met when it is written to.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress

KEPT = 1 << 15  # bytes: some seventy cells, an error and the end
_PAGE = 1 << 12  # room is asked for in such steps, so that what announces a change meets a full disk as it always did
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE, linux/falloc.h

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)


class Room:
    """The room behind what is written of one open file."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._until = 0

    def keep(self, end: int) -> None:
        """Make sure that there is room behind `end`, where the next line ends. Raises OSError if the disk is full."""
        if end + KEPT > self._until:
            until = -(-(end + KEPT) // _PAGE) * _PAGE
            _set_aside(self._file, end, until - end)
            self._until = until

    def give_back(self) -> None:
        """Give back what was not used."""
        with suppress(OSError):
            os.ftruncate(self._file, os.fstat(self._file).st_size)


def _set_aside(file: int, offset: int, length: int) -> None:
    """Raises OSError only if there is no room: not if the file system knows nothing of this."""
    if _fallocate(file, _KEEP_SIZE, offset, length):
        number = ctypes.get_errno()
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(number, os.strerror(number))
