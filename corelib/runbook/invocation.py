"""A run of a changing runbook, as a person types it at each front end. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ASKED = ("replace", "destroy", "restore")
"""What a run can be asked for beside the parameters, as it is named in the parameters cell and as an option."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """`file` is the parameters file as it is typed; `asked` has lists of texts by their name in ASKED."""

    runbook: str
    file: str
    asked: Mapping[str, Sequence[str]] = field(default_factory=dict)
    approved_plan: str = ""
    consents: Sequence[str] = ()

    @property
    def command(self) -> str:
        """For a shell."""
        words = ["runbooks", "run", self.runbook, "-f", self.file, *options(self.asked)]
        approval = ["--approved-plan", self.approved_plan] if self.approved_plan else []
        return shlex.join([*words, *approval, *options({"consent": self.consents})])

    @property
    def papermill(self) -> str:
        """What papermill is given beside the notebook and the parameters file."""
        lists = {**self.asked, **({"consent": self.consents} if self.consents else {})}
        words = [f"-p approved_plan {self.approved_plan}"] if self.approved_plan else []
        return " ".join([*words, *(f"-y {shlex.quote(line(name, texts))}" for name, texts in lists.items())])


def options(asked: Mapping[str, Sequence[str]]) -> list[str]:
    """The words of a command's options, one for each text."""
    return [word for name, texts in asked.items() for text in texts for word in (f"--{name}", text)]


def line(name: str, texts: Sequence[str]) -> str:
    """A line of YAML, as papermill's `-y` takes it."""
    return f"{name}: {json.dumps(list(texts), ensure_ascii=False)}"


def same(one: Mapping[str, Sequence[str]], other: Mapping[str, Sequence[str]]) -> bool:
    """Whether two runs are asked for the same; the order says nothing."""
    return all(sorted(one.get(name, ())) == sorted(other.get(name, ())) for name in ASKED)


def words(asked: Mapping[str, Sequence[str]]) -> str:
    """What a run is asked for, in a sentence."""
    return (
        ", ".join(f"{name} {' and '.join(texts)}" for name, texts in asked.items() if texts)
        or "nothing beside the parameters"
    )
