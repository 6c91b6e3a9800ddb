"""A picture of the cluster: its members by site, who leads, the way between them, and what is wrong where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .document import COLOURS, SIGNS, Tone, View, escape

_WIDTH, _HEIGHT, _GAP = 190, 64, 26  # of a member's box, and between two
_HEAD = 30  # above a site's boxes


class Node(NamedTuple):
    """One member as drawn: `note` is a word or two (leads, refuses connections), `trip` its way to the leader."""

    name: str
    address: str
    site: str
    tone: Tone
    note: str
    leads: bool = False
    trip: str = ""


class Cluster(View):
    """Sites as frames, members as boxes in them, a line from each follower to the leader with its round trip."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    def html(self) -> str:
        """An inline SVG; every state is a sign and a word besides its colour."""
        places = self._places()
        width = max((x for x, _ in places.values()), default=0) + _WIDTH + _GAP
        height = max((y for _, y in places.values()), default=0) + _HEIGHT + _GAP
        parts = [*self._frames(places, height), *self._lines(places), *(_box(n, *places[n.name]) for n in self.nodes)]
        style = "max-width:100%;font:12px system-ui,sans-serif;color:inherit"
        label = escape("; ".join(_words(node) for node in self.nodes))
        return (
            f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" width="{width}" style="{style}">'
            f"{''.join(parts)}</svg>"
        )

    def text(self) -> str:
        """A line a member, under its site."""
        lines = []
        for site, nodes in self._sites().items():
            lines += [site, *(f"  {SIGNS[node.tone]} {_words(node)}" for node in nodes)]
        return "\n".join(lines)

    def _sites(self) -> Mapping[str, list[Node]]:
        sites: dict[str, list[Node]] = {}
        for node in self.nodes:
            sites.setdefault(node.site, []).append(node)
        return sites

    def _places(self) -> dict[str, tuple[int, int]]:
        """The corner of each box: a column a site."""
        return {
            node.name: (_GAP + column * (_WIDTH + 4 * _GAP), _HEAD + row * (_HEIGHT + _GAP))
            for column, nodes in enumerate(self._sites().values())
            for row, node in enumerate(nodes)
        }

    def _frames(self, places: Mapping[str, tuple[int, int]], height: int) -> list[str]:
        frames = []
        for site, nodes in self._sites().items():
            x = places[nodes[0].name][0] - _GAP // 2
            frame = f'<rect x="{x}" y="4" width="{_WIDTH + _GAP}" height="{height - 8}" rx="6"'
            frames.append(f'{frame} fill="none" stroke="{COLOURS["plain"]}" stroke-dasharray="3 3"/>')
            frames.append(f'<text x="{x + 10}" y="21" fill="currentColor">{escape(site)}</text>')
        return frames

    def _lines(self, places: Mapping[str, tuple[int, int]]) -> list[str]:
        leader = next((node for node in self.nodes if node.leads), None)
        if leader is None:
            return []
        return [_line(places[node.name], places[leader.name], node) for node in self.nodes if node != leader]


def _line(start: tuple[int, int], end: tuple[int, int], node: Node) -> str:
    """From a follower to the leader, around what lies between; dashed where the follower does not serve."""
    (x1, y1), (x2, y2) = start, end
    if x1 == x2:  # the same site: along the left edge
        y1, y2 = y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
        path, at = f"M {x1} {y1} C {x1 - _GAP} {y1} {x2 - _GAP} {y2} {x2} {y2}", (x1, (y1 + y2) // 2 + 4)
    else:
        x1, x2 = (x1 + _WIDTH, x2) if x1 < x2 else (x1, x2 + _WIDTH)
        y1, y2 = y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
        path, at = f"M {x1} {y1} L {x2} {y2}", (x1 + (x2 - x1) // 3 - 12, y1 + (y2 - y1) // 3 - 5)
    dash = "" if node.tone == "good" else ' stroke-dasharray="5 4"'
    drawn = f'<path d="{path}" fill="none" stroke="{COLOURS[node.tone]}" stroke-width="2"{dash}/>'
    return f'{drawn}<text x="{at[0]}" y="{at[1]}" fill="currentColor">{escape(node.trip)}</text>'


def _box(node: Node, x: int, y: int) -> str:
    colour = COLOURS[node.tone]
    frame = f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" fill="{colour}" fill-opacity="0.12"'
    texts = (node.name, node.address, f"{SIGNS[node.tone]} {_short(node.note)}")
    weights = ("bold", "normal", "normal")
    lines = "".join(
        f'<text x="{x + 10}" y="{y + 19 + 17 * n}" fill="currentColor" font-weight="{weight}">{escape(text)}</text>'
        for n, (text, weight) in enumerate(zip(texts, weights, strict=True))
    )
    return f'{frame} stroke="{colour}" stroke-width="{3 if node.leads else 1}"/>{lines}'


def _words(node: Node) -> str:
    trip = f", {node.trip}" if node.trip else ""
    return f"{node.name} ({node.address}): {node.note}{trip}"


def _short(text: str) -> str:
    return text if len(text) <= 26 else f"{text[:25]}…"
