"""Who asks: the process that runs the notebook, and the parameters file that it was given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput

FILE = "RUNBOOKS_PARAMETERS"  # set by `runbooks run`: the parameters file
RUN_ID = "RUNBOOKS_RUN_ID"  # set by `runbooks run`: the record that the run shall write

STOP = "RUNBOOKS_STOP"  # set by `runbooks run`: a file that says, once it is there, that nothing new shall begin

_FLAGS = ("-f", "--parameters_file")


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """`name` is runbooks, papermill, jupyter or other; `file` is the parameters file that it was given, if any."""

    name: str
    file: Path | None

    @property
    def interactive(self) -> bool:
        """True where somebody can type into a form."""
        return self.name == "jupyter"


def detect() -> FrontEnd:
    """The front end of this kernel, from its environment and its parent's command line."""
    if os.environ.get(FILE):
        return FrontEnd("runbooks", Path(os.environ[FILE]))
    command, folder = _parent()
    if any(Path(word).name == "papermill" for word in command[:3]):
        return FrontEnd("papermill", _given(command, folder))
    if os.environ.get("JPY_SESSION_NAME"):  # set by jupyter_server for the kernels that it starts
        return FrontEnd("jupyter", None)
    return FrontEnd("other", None)


def _parent() -> tuple[list[str], Path]:
    """Command line and working folder of the parent (proc(5)); empty if it is gone or not ours to read."""
    process = Path("/proc") / str(os.getppid())
    try:
        command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return command, (process / "cwd").resolve(strict=True)
    except OSError:
        return [], Path.cwd()


def _given(command: list[str], folder: Path) -> Path | None:
    """The file of papermill's `-f`; it accepts several and merges them shallowly, which we refuse."""
    files = []
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word in _FLAGS:
            files.append(following)
        elif word.startswith("--parameters_file="):
            files.append(word.partition("=")[2])
        elif word.startswith("-f") and len(word) > 2:
            files.append(word[2:])
    if len(files) > 1:
        raise BadInput("reading the parameters", f"{len(files)} files were given: {', '.join(files)}", "give one -f")
    return folder / files[0] if files else None
