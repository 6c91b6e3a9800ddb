"""The guard: looks at the cell that papermill injects before it is executed.

papermill turns every top-level key of a parameters file into code, also one such as `x; print(1) #`. Only known
names that are assigned literals pass; anything else is refused unexecuted.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection

from ..errors import BadInput

_MARK = "# Parameters"  # the first line of an injected cell (papermill's translators)

Refuse = Callable[[str], None]


def problem(source: str, allowed: Collection[str]) -> str:
    """What is wrong with an injected cell, in words; empty if nothing is, or if the cell is not an injected one."""
    if not source.startswith(_MARK):
        return ""
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        return f"the injected parameters are not Python: {error.msg} in line {error.lineno}"
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if name not in allowed:
                    return f"unknown parameter {name!r}; allowed: {', '.join(allowed)}"
                if not _literal(value):
                    return f"parameter {name!r} is not a literal: {ast.unparse(value)}"
            case _:
                return f"the injected parameters hold code: {ast.unparse(statement)}"
    return ""


def install(allowed: Collection[str], refuse: Refuse) -> None:
    """Look at every cell from now on; `refuse` is called with the problem first, and may raise a better error."""
    from IPython import get_ipython  # noqa: PLC0415 - absent where no Jupyter is installed

    def look(lines: list[str]) -> list[str]:
        found = problem("".join(lines), allowed)
        if found:
            refuse(found)
            raise BadInput("reading the injected parameters", found, "correct the parameters file or the -p options")
        return lines

    transforms = get_ipython().input_transformers_cleanup
    transforms[:] = [one for one in transforms if getattr(one, "__name__", "") != look.__name__] + [look]


def _literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True
