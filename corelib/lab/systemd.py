"""The lab's own reader of systemd units: what a service's environment is, after all drop-ins (systemd.exec(5))."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

ReadFile = Callable[[str], str | None]


class UnitError(ValueError):
    """systemd would refuse to start the unit."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One `Key=value` of a section, continuation lines joined."""

    section: str
    key: str
    value: str


def settings(text: str) -> Iterator[Setting]:
    """The settings of a unit file in their order; comments and text before the first section are passed over."""
    section = ""
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        line = line.strip()  # noqa: PLW2901 - the same line, trimmed
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line and section:
            key, _, value = line.partition("=")
            yield Setting(section, key.strip(), value.strip())


def environment(files: Iterable[str], specifiers: dict[str, str], read: ReadFile) -> dict[str, str]:
    """The environment that a service is started with, from its unit file and drop-ins in order.

    Later `Environment=` win over earlier ones, environment files win over both, an empty assignment resets a list; a
    file named with a leading `-` may be missing. Raises UnitError if another one is.
    """
    files = list(files)
    variables = assigned(files, specifiers)
    for name in environment_files(files, specifiers):
        content = read(name.removeprefix("-"))
        if content is None and not name.startswith("-"):
            raise UnitError(f"Failed to load environment files: {name}: No such file or directory")
        variables |= _file(content or "")
    return variables


def assigned(files: Iterable[str], specifiers: dict[str, str]) -> dict[str, str]:
    """What the unit itself sets: later assignments win over earlier ones, an empty one resets the list."""
    variables: dict[str, str] = {}
    for setting in (one for text in files for one in settings(text) if one.section == "Service"):
        value = expand(setting.value, specifiers)
        if setting.key == "Environment":
            variables = variables | dict(_assignments(value)) if value else {}
    return variables


def environment_files(files: Iterable[str], specifiers: dict[str, str]) -> list[str]:
    """The environment files that a service names, in order; those that may be missing with their `-`."""
    named: list[str] = []
    for setting in (one for text in files for one in settings(text) if one.section == "Service"):
        if setting.key == "EnvironmentFile":
            value = expand(setting.value, specifiers)
            named = [*named, value] if value else []
    return named


def required(files: Iterable[str]) -> list[str]:
    """The units without which this one is not started."""
    found = [one.value for text in files for one in settings(text) if one.section == "Unit" and one.key == "Requires"]
    return [name for value in found for name in value.split()]


def mounts_for(files: Iterable[str]) -> list[str]:
    """The paths that have to be mounted before this unit is started (systemd.unit(5), RequiresMountsFor=)."""
    found = (one for text in files for one in settings(text) if (one.section, one.key) == ("Unit", "RequiresMountsFor"))
    return [path for one in found for path in one.value.split()]


def expand(text: str, specifiers: dict[str, str]) -> str:
    """Replace `%H` and the like; `%%` is a percent sign. UnitError for one that the lab does not know."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if match[1] not in specifiers:
            raise UnitError(f"unknown specifier %{match[1]}")
        return specifiers[match[1]]

    return re.sub(r"%(.)", value, text)


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """The assignments of one `Environment=`: words, of which all or a part may be quoted."""
    for word in re.findall(r"(?:\"(?:\\.|[^\"])*\"|'(?:\\.|[^'])*'|\\.|[^\s\"'])+", text):
        name, equals, value = _unquote(word).partition("=")
        if equals and re.fullmatch(r"[A-Za-z_]\w*", name):
            yield name, value


def _file(text: str) -> dict[str, str]:
    """An environment file: `NAME=value` lines, values optionally quoted; other lines are ignored."""
    variables = {}
    for line in re.sub(r"\\\n", "", text).split("\n"):
        name, equals, value = line.strip().partition("=")
        if equals and re.fullmatch(r"[A-Za-z_]\w*", name.strip()):
            variables[name.strip()] = _unquote(value.strip())
    return variables


def _unquote(text: str) -> str:
    """Take the quotes off each quoted part; a backslash keeps the character after it, but not in single quotes."""
    parts = re.findall(r"\"((?:\\.|[^\"])*)\"|'([^']*)'|((?:\\.|[^\"'])+)", text)
    return "".join(re.sub(r"\\(.)", r"\1", double or bare) + single for double, single, bare in parts)
