"""Tables, notes and listings, each as HTML for notebooks and as plain text for terminals and papermill's log.

Meaning is never in colour alone: every state is also a word or a sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Tone = Literal["good", "bad", "warn", "plain"]

# Readable on JupyterLab's light and dark themes: text keeps the theme's colour, the tone is a bar at the left.
COLOURS: dict[Tone, str] = {"good": "#2e7d32", "bad": "#c62828", "warn": "#b26a00", "plain": "#78909c"}
SIGNS: dict[Tone, str] = {"good": "✔", "bad": "✘", "warn": "!", "plain": " "}
_CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"


def escape(text: str) -> str:
    """As HTML's own; loaded only where HTML is written, for it brings all named characters with it."""
    from html import escape as escaped  # noqa: PLC0415 - the same

    return escaped(text)


class View:
    """Something to show: `html()` for notebooks, `text()` for terminals."""

    def html(self) -> str:
        """HTML without scripts, styles inline."""
        raise NotImplementedError  # pragma: no cover - every view has its own

    def text(self) -> str:
        """Plain text without a trailing line break."""
        raise NotImplementedError  # pragma: no cover - every view has its own

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return self.text()


class Note(View):
    """One sentence or a few lines that must be seen."""

    def __init__(self, message: str, tone: Tone = "plain") -> None:
        self.message, self.tone = message, tone

    def html(self) -> str:
        """A paragraph with a bar in its tone's colour."""
        style = f"border-left:4px solid {COLOURS[self.tone]};padding:2px 10px;margin:6px 0;white-space:pre-wrap"
        return f'<div style="{style}">{SIGNS[self.tone].strip()} {escape(self.message)}</div>'

    def text(self) -> str:
        """The sign and the message."""
        return f"{SIGNS[self.tone]} {self.message}".strip()


class Table(View):
    """Rows under column heads; `tones` marks rows, by number; `title` stands above, `whole` columns do not wrap."""

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        title: str = "",
        tones: Sequence[Tone] = (),
        whole: Sequence[str] = (),
    ) -> None:
        self.columns, self.rows, self.title, self.tones, self.whole = columns, rows, title, tones, whole

    def html(self) -> str:
        """A table whose cells keep their line breaks."""
        title = f"<p><b>{escape(self.title)}</b></p>" if self.title else ""
        head = "".join(f'<th style="{_CELL}">{escape(column)}</th>' for column in self.columns)
        body = "".join(self._row(number, row) for number, row in enumerate(self.rows))
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def text(self) -> str:
        """Columns aligned by spaces, marked rows with their sign in front; the last column wraps by itself."""
        lines = [list(self.columns), *[[_flat(cell) for cell in row] for row in self.rows]]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.columns))]
        signs = [" ", *[SIGNS[self._tone(number)] for number in range(len(self.rows))]]
        out = [
            f"{sign} " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for sign, line in zip(signs, lines, strict=True)
        ]
        return "\n".join([*([self.title] if self.title else []), *(line.rstrip() for line in out)])

    def _tone(self, number: int) -> Tone:
        return self.tones[number] if number < len(self.tones) else "plain"

    def _row(self, number: int, row: Sequence[object]) -> str:
        bar = f"border-left:4px solid {COLOURS[self._tone(number)]};padding-left:8px"
        wraps = ("nowrap" if column in self.whole else "pre-wrap" for column in self.columns)
        styles = [f"{_CELL};white-space:{wrap}" for wrap in wraps]
        if self.tones:
            styles[0] = f"{styles[0]};{bar}"
        cells = [f'<td style="{style}">{escape(str(cell))}</td>' for style, cell in zip(styles, row, strict=True)]
        return f"<tr>{''.join(cells)}</tr>"


class Code(View):
    """A document as it is; in a notebook folded away under its title until it is clicked."""

    def __init__(self, title: str, content: str, folded: bool = True) -> None:
        self.title, self.content, self.folded = title, content, folded

    def html(self) -> str:
        """A folded listing."""
        opened = "" if self.folded else " open"
        return (
            f"<details{opened}><summary>{escape(self.title)}</summary>"
            f'<pre style="margin:4px 0 8px 16px">{escape(self.content)}</pre></details>'
        )

    def text(self) -> str:
        """The title over the content."""
        return f"--- {self.title}\n{self.content.rstrip()}"


class Page(View):
    """Views one after the other."""

    def __init__(self, parts: tuple[View, ...]) -> None:
        self.parts = parts

    @classmethod
    def of(cls, *parts: View | None) -> Page:
        """A page of those parts that are there."""
        return cls(tuple(part for part in parts if part is not None))

    def html(self) -> str:
        """All parts."""
        return "".join(part.html() for part in self.parts)

    def text(self) -> str:
        """All parts, a blank line between them."""
        return "\n\n".join(part.text() for part in self.parts)


class Fold(View):
    """A view folded away under its title until it is clicked; plain text shows it all."""

    def __init__(self, title: str, inner: View) -> None:
        self.title, self.inner = title, inner

    def html(self) -> str:
        """A folded view."""
        return f"<details><summary>{escape(self.title)}</summary>{self.inner.html()}</details>"

    def text(self) -> str:
        """The title over the view."""
        return f"{self.title}\n{self.inner.text()}"


class Aside(Fold):
    """A view folded away in a notebook, and in plain text only named: it is long, and `where` else it stands."""

    def __init__(self, title: str, inner: View, where: str) -> None:
        super().__init__(title, inner)
        self.where = where

    def text(self) -> str:
        """The title, and where to look."""
        return f"{self.title}: {self.where}"


def _flat(cell: object) -> str:
    return " ".join(str(cell).split("\n"))
