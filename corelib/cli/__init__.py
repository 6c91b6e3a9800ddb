"""The `runbooks` command: what can be asked without opening a notebook, and running one headless.

Exit codes: 0 succeeded, no change or awaiting approval · 1 failed · 2 bad input · 3 refused · 4 unhealthy ·
5 interrupted. `verify` besides: 6 members come or go as intended · 7 nothing is known to be wrong, not all is proven.
`plan`: 0 nothing to do · 4 something blocks it · 6 it awaits its approval.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import BadInput, Refused, RunbookError, Unhealthy

if TYPE_CHECKING:
    import argparse

_EPILOG = (__doc__ or "").partition("\n\n")[2]
_CODES: dict[type[RunbookError], int] = {BadInput: 2, Refused: 3, Unhealthy: 4}
_PARTS = ("documents", "verify", "runs", "evidence")  # each adds its commands


def command() -> int:
    """`runbooks` as a process of its own.

    Of `verify` it is taken away as a whole when it has answered: whoever waits for the answer need not wait until
    Python has freed, piece by piece, what the system frees at once.
    """
    brief = sys.argv[1:2] == ["verify"]
    if brief:
        gc.disable()  # a process that lasts a tenth of a second leaves nothing worth collecting
    code = main()
    if brief:
        os._exit(code)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what is foreseeable is told in a sentence on standard error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    act = _asked(arguments)
    try:
        code = act()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read this has seen enough; what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RunbookError as error:
        print(error, file=sys.stderr)
        return next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 5
    return code


def _asked(arguments: Sequence[str]) -> Callable[[], int]:
    """What is to be done; `verify`, as it is typed when somebody waits for it, is understood without argparse.

    That takes 8 ms, as it asks for the terminal's width and the language before it knows that it needs neither.
    """
    match arguments:
        case ["verify", "-f" | "--file", file, *rest] if file[:1] not in ("", "-") and rest in ([], ["--json"]):
            from .verify import verify  # noqa: PLC0415 - as every command's part

            return partial(verify, file, as_json=bool(rest))
    given = _parser(arguments).parse_args(arguments)
    return partial(given.act, given)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Of all commands; where `verify` is asked for, of that alone."""
    import argparse  # noqa: PLC0415 - see above

    parser = argparse.ArgumentParser(
        prog="runbooks", description="Runbooks for fleets of container hosts.", epilog=_EPILOG
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for part in ("verify",) if arguments[:1] == ["verify"] else _PARTS:
        import_module(f".{part}", __name__).add(commands)
    return parser
