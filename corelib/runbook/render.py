"""render: parameters → validated fleet → `#cloud-config` per host, findings, differences from the last rendering."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from .. import userdata
from ..errors import BadInput
from ..userdata import Difference, UserData
from ..views import Code, Note, Page, Table, View
from ..views.findings import findings
from .inventory import Inventory
from .session import Session


class Render(Session):
    """Writes the rendering of one environment, as a whole, and shows what changed."""

    name = "render"

    def documents(self, profile: str = "") -> View:
        """Render every host, keep the result, and show the hosts, each document, findings and differences."""
        with self._stage("render") as stage:
            fleet = self.loaded.fleet
            addresses = Inventory(self.project.inventory(fleet.environment)).addresses()
            rendered = userdata.render(fleet, profile or None, addresses)
            folder = self.project.rendered(fleet.environment)
            before = {name: last(folder, name) for name in rendered}
            write(rendered, folder, as_written=(profile or fleet.profile) == "as-written")
            stage.facts = {"documents": {name: one.sha256 for name, one in rendered.items()}}
        return show(rendered, before, profile or fleet.profile)


def write(rendered: Mapping[str, UserData], folder: Path, *, as_written: bool = False) -> None:
    """Write a file per host into `folder`, which is replaced as a whole or not at all. Raises BadInput.

    A folder that holds anything but renderings is not replaced. What a host would not take is not written; the form
    of 2015, which is there to be compared, is.
    """
    doing = f"writing the rendering to {folder}"
    if not as_written:
        userdata.require(rendered, doing)
    foreign = [p.name for p in folder.iterdir() if p.suffix != ".yaml"] if folder.is_dir() else []
    if foreign or (folder.exists() and not folder.is_dir()):
        raise BadInput(
            doing, f"it holds something else: {', '.join(foreign[:3]) or 'it is a file'}", "name a new folder"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as problem:
        raise BadInput(doing, str(problem), "choose a folder that can be written") from None
    try:
        draft.chmod(0o755)
        for name, one in rendered.items():
            (draft / f"{name}.yaml").write_text(one.text)
        old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as problem:
        shutil.rmtree(draft, ignore_errors=True)
        raise BadInput(doing, str(problem), "nothing was half-written; make room and run again") from None


def show(rendered: Mapping[str, UserData], before: Mapping[str, str | None], profile: str) -> View:
    """A table of hosts, then differences from the documents `before`, the documents, folded, then findings."""
    rows = [
        (name, f"{len(one.content)} bytes", one.sha256[:12], _word(before, name, one)) for name, one in rendered.items()
    ]
    different = list(changes(rendered, before))
    return Page.of(
        Note(f"{len(rendered)} documents rendered, profile {profile}.", "good"),
        Table(("host", "size", "SHA-256", "last rendering"), rows),
        Page(tuple(different)) if different else None,
        Page(tuple(Code(f"{name}: the document", one.text) for name, one in rendered.items())),
        findings(userdata.findings(rendered)),
    )


def changes(rendered: Mapping[str, UserData], before: Mapping[str, str | None]) -> Iterator[View]:
    """A table for each thing that changed, with all hosts that it changed on."""
    hosts: dict[tuple[Difference, ...], list[str]] = {}
    for name, one in rendered.items():
        old = before[name]
        if old is None or old == one.text:
            continue
        try:
            hosts.setdefault(userdata.differences(old, one.text), []).append(name)
        except ValueError as problem:
            yield Note(f"{name}: the last rendering cannot be compared: {problem}", "warn")
    for found, names in hosts.items():
        rows = [(one.where, _shown(one.old), _shown(one.new), _WHEN[one.matters]) for one in found]
        title = f"What changed on {', '.join(names)}"
        columns = ("where", "was", "is", "matters")
        yield Table(columns, rows, title) if rows else Note(f"{title}: the layout only")


_WHEN = {"boot": "with the next boot", "bootstrap": "only where etcd starts without data"}


def _shown(value: str | None) -> str:
    return "absent" if value is None else value


def _word(before: Mapping[str, str | None], name: str, one: UserData) -> str:
    if before[name] is None:
        return "none"
    return "the same" if before[name] == one.text else "differs"


def last(folder: Path, name: str) -> str | None:
    """The document of a host as a folder has it from the last time; None if it has none."""
    file = folder / f"{name}.yaml"
    return file.read_text() if file.is_file() else None
