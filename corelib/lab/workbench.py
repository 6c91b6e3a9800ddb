"""The commands with which etcd's data are moved about, and etcd's own tool in its image: for root, on one host.

Only the forms that are used are known, and only what lies in etcd's data directory is touched. What they do is done:
with real files, and the real tool.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .binary import find_tool

Said = tuple[int, bytes, bytes]


class Workbench:
    """Answers for one host; `root` is where its root file system is, `variables` are those of etcd's unit."""

    def __init__(self, root: Path, variables: Mapping[str, str]) -> None:
        self._root, self._variables = root, variables

    def answer(self, words: Sequence[str], root: bool, given: bytes) -> Said | None:
        """What one command says, or None if there is no such command."""
        if words[0] not in _KNOWN:
            return None
        if not root:
            return 1, b"", f"{words[0]}: Permission denied\n".encode()
        try:
            return 0, self._do(list(words), given).encode(), b""
        except subprocess.CalledProcessError as problem:
            return problem.returncode, b"", str(problem.stderr).encode()
        except OSError as problem:
            return 1, b"", f"{words[0]}: {problem.filename}: {problem.strerror}\n".replace(str(self._root), "").encode()

    def _do(self, words: list[str], given: bytes) -> str:
        """Do it, and return what it says. Raises OSError, CalledProcessError."""
        said = self._tell(words)
        if said is None and not self._change(words, given):
            raise _failed(2, f"the lab does not know these arguments: {shlex.join(words)}")
        return said or ""

    def _tell(self, words: list[str]) -> str | None:
        match words:
            case ["ls", "-1A", place]:
                return "".join(f"{name}\n" for name in sorted(one.name for one in self._at(place).iterdir()))
            case ["sha256sum", file]:
                with self._at(file).open("rb") as content:
                    return f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {file}\n"
            case ["head", "-c", count, file] if count.isdecimal():
                return self._at(file).read_bytes()[: int(count)].decode(errors="replace")
            case ["docker", "run", "--rm", "--name=restoring-etcd", "--network=none", volume, entrypoint, image, *rest]:
                return self._docker(volume, entrypoint, image, rest)
        return None

    def _change(self, words: list[str], given: bytes) -> bool:
        match words:
            case ["mkdir", "-p", place]:
                self._at(place).mkdir(parents=True, exist_ok=True)
            case ["rmdir", place]:
                self._at(place).rmdir()
            case ["rm", "-rf", *places]:
                for place in places:
                    _remove(self._at(place))
            case ["mv", "-n", "-T", old, new]:
                if not self._at(new).exists():  # where something is already, it moves nothing, and says nothing
                    self._at(old).rename(self._at(new))
            case ["dd", out, "bs=1M", "status=none"] if out.startswith("of="):
                self._at(out[3:]).write_bytes(given)
            case ["chown", "-R", reference, _]:  # all of a lab's files are its user's
                return reference.startswith("--reference=")
            case _:
                return False
        return True

    def _at(self, path: str) -> Path:
        place = posixpath.normpath(path)
        data = self._variables.get("ETCD_DATA_DIR", "")
        if not data or f"{place}/".partition(f"{data}/")[0]:
            raise _failed(1, f"{path}: not among etcd's data, and the lab leaves it alone")
        return self._root / place.lstrip("/")

    def _docker(self, volume: str, entrypoint: str, image: str, rest: Sequence[str]) -> str:
        """etcd's tool, as the image has it; only what is mounted is in its reach."""
        there = ":".join(self._variables.get(f"ETCD_IMAGE_{part}", "") for part in ("URL", "TAG"))
        if image != there:
            raise _failed(125, f"docker: Unable to find image '{image}' locally.")
        mounted = re.fullmatch(r"--volume=(/[^:]+):\1", volume)
        tool = find_tool(entrypoint.rpartition("/")[2])
        if mounted is None or tool is None:
            raise _failed(127, f"docker: {entrypoint}: no such file or directory.")
        place, at = mounted[1], str(self._at(mounted[1]))
        words = [re.sub(rf"(^|=){re.escape(place)}/", rf"\g<1>{at}/", word) for word in rest]
        return subprocess.run([tool, *words], capture_output=True, text=True, timeout=120, check=True).stdout


_KNOWN = {"ls", "mkdir", "rmdir", "rm", "mv", "chown", "head", "dd", "sha256sum", "docker"}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _failed(code: int, said: str) -> subprocess.CalledProcessError:
    return subprocess.CalledProcessError(code, "", "", f"{said}\n")
