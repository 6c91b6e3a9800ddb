"""The `#cloud-config` text: emitted so that both generations of its consumer read the same, and read back.

Keys have underscores (Flatcar drops hyphenated ones since stable 3975.2.0; CoreOS accepts both). Words that YAML 1.1
would change, such as `off` and `0644`, are always quoted. Whole numbers stay whole numbers.
"""

from __future__ import annotations

from typing import Any

import yaml

HEADER = "#cloud-config\n"  # must be the very first line (coreos-cloudinit)


class Quoted(str):
    """Text that must not be emitted as a plain scalar."""

    __slots__ = ()


def emit(document: dict[str, Any]) -> str:
    """The document as text; the same input gives the same bytes. ValueError if it does not read back."""
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
    text = HEADER + "\n" + body
    if read(text) != document:
        raise ValueError("the rendered cloud-config does not read back as it was meant")
    return text


def read(text: str) -> Any:
    """A cloud-config as plain data, with true, false and whole numbers as such, every other scalar as text."""
    return yaml.load(text, Loader=_TextLoader)  # noqa: S506 - it constructs only text, numbers, lists and mappings


class _Dumper(yaml.SafeDumper):
    """Multi-line text as a literal block, quoted words in double quotes, sequences indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        return super().increase_indent(flow, False)  # noqa: FBT003 - PyYAML's own signature

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _quoted(dumper: yaml.SafeDumper, value: Quoted) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style='"')


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Quoted, _quoted)


class _TextLoader(yaml.SafeLoader):
    """Resolves `true`, `false` and whole numbers only; everything else stays text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name, an instance variable to its stub


def _scalar(_: yaml.SafeLoader, node: yaml.ScalarNode) -> str | int | bool:
    text = str(node.value)
    if node.style is not None:
        return text
    if text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0")):
        return int(text)
    return {"true": True, "false": False}.get(text, text)


_TextLoader.add_constructor("tag:yaml.org,2002:str", _scalar)
