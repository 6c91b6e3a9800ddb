"""A picture of a deployment, cluster by cluster: what is there, what comes, what changes and what goes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from ..plan import Plan, Step
from .document import COLOURS, Tone, View

# In the order of what an operator must see first: the worst of several stands for them.
SIGNS: dict[str, tuple[str, str, Tone]] = {
    "blocked": ("✘", "blocked", "bad"),
    "destroy": ("−", "goes", "bad"),
    "replace": ("⟳", "is replaced", "bad"),
    "change": ("~", "changes", "warn"),
    "create": ("+", "comes", "good"),
    "told": ("!", "is there, see below", "warn"),
    "keep": ("•", "is there", "plain"),
}
# Kind, and what its name has behind the host's; an address may be its cluster's.
_OF_A_HOST = {"machine": "", "disk": "-etcd", "interface": "-nic", "address": "-ip"}
_MOST = 12  # hosts of a cluster that have a box each; of more, those are put together to which the same happens
_WIDTH, _BOX, _HIGH, _GAP = 880, 204, 46, 10


@dataclass(frozen=True, slots=True)
class Box:
    """A host, or several to which the same happens: kind → what happens to it."""

    names: Sequence[str]
    parts: Mapping[str, str]

    @property
    def label(self) -> str:
        """Its name; of several, their count with the first and the last."""
        if len(self.names) == 1:
            return self.names[0]
        return f"{len(self.names)} × {self.names[0]} … {self.names[-1].rpartition('-')[2]}"

    @property
    def worst(self) -> str:
        """What must be seen first."""
        return min(self.parts.values(), key=list(SIGNS).index)


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster: what its hosts share, as (kind, what happens to it), and its hosts."""

    name: str
    shared: Sequence[tuple[str, str]] = field(default=())
    boxes: Sequence[Box] = field(default=())


def deployment(plan: Plan) -> View | None:
    """The picture of a plan's clusters; None where it has none (a resource group is what makes one)."""
    by_cluster: dict[str, list[tuple[str, str, Step]]] = {}
    for step in plan.steps:
        words = step.target.split("/")
        if len(words) == 3:
            by_cluster.setdefault(words[0], []).append((words[1], words[2], step))
    sites = [_site(name, steps) for name, steps in by_cluster.items() if any(kind == "group" for kind, _, _ in steps)]
    return Deployment(sites) if sites else None


def _site(cluster: str, steps: Sequence[tuple[str, str, Step]]) -> Site:
    names = {_host_of(kind, name) for kind, name, _ in steps if kind in _OF_A_HOST and kind != "address"}
    shared: list[tuple[str, str]] = []
    hosts: dict[str, dict[str, str]] = {}
    for kind, name, step in steps:
        state = "told" if step.told else step.action
        if kind in _OF_A_HOST and (host := _host_of(kind, name)) in names:
            parts = hosts.setdefault(host, {})
            parts[kind] = "replace" if {parts.get(kind), state} == {"destroy", "create"} else state
        else:
            shared.append((kind, state))
    if len(hosts) <= _MOST:
        return Site(cluster, shared, [Box((name,), parts) for name, parts in hosts.items()])
    alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, parts in hosts.items():
        alike.setdefault(tuple(sorted(parts.items())), []).append(name)
    return Site(cluster, shared, [Box(names, dict(parts)) for parts, names in alike.items()])


def _host_of(kind: str, name: str) -> str:
    return name.partition("@")[0].removesuffix(_OF_A_HOST[kind])


@dataclass(frozen=True, repr=False)
class Deployment(View):
    """A frame for each cluster: above, what is shared; below, a box for each host. Every state has a sign."""

    sites: Sequence[Site]

    def html(self) -> str:
        """An inline SVG with a legend of what occurs in it."""
        y, parts = 0, []
        for site in self.sites:
            drawn, height = _frame(site, y)
            parts.append(drawn)
            y += height + _GAP
        style = "max-width:100%;font:12px system-ui,sans-serif;color:inherit"
        return (
            f'<svg role="img" aria-label="{escape(self.text())}" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" '
            f'style="{style}">{"".join(parts)}</svg><div>{escape(self._legend())}</div>'
        )

    def text(self) -> str:
        """A line for what a cluster shares, and one for each host."""
        lines = []
        for site in self.sites:
            lines.append(f"{site.name}: {', '.join(f'{SIGNS[action][0]} {kind}' for kind, action in site.shared)}")
            lines += [f"  {SIGNS[box.worst][0]} {box.label}: {_parts(box)}" for box in site.boxes]
        return "\n".join([*lines, self._legend()])

    def _legend(self) -> str:
        used = {action for site in self.sites for _, action in site.shared}
        used |= {action for site in self.sites for box in site.boxes for action in box.parts.values()}
        return " · ".join(f"{sign} {word}" for action, (sign, word, _) in SIGNS.items() if action in used)


def _parts(box: Box) -> str:
    """`+ machine  + disk`, in one order."""
    return "  ".join(f"{SIGNS[box.parts[kind]][0]} {kind}" for kind in _OF_A_HOST if kind in box.parts)


def _frame(site: Site, top: int) -> tuple[str, int]:
    """A cluster's frame at a height, and how high it is."""
    columns = _WIDTH // (_BOX + _GAP)
    rows = -(-len(site.boxes) // columns)
    height = 58 + rows * (_HIGH + _GAP)
    frame = f'<rect x="1" y="{top + 1}" width="{_WIDTH - 2}" height="{height - 2}" rx="6" fill="none"'
    drawn = [f'{frame} stroke="{COLOURS["plain"]}" stroke-dasharray="3 3"/>']
    drawn.append(f'<text x="12" y="{top + 20}" fill="currentColor" font-weight="bold">{escape(site.name)}</text>')
    x = 12
    for kind, action in site.shared:
        width = round(len(kind) * 6.6) + 30
        drawn.append(_chip(kind, action, x, top + 28, width))
        x += width + 8
    for n, box in enumerate(site.boxes):
        drawn.append(_box(box, 12 + n % columns * (_BOX + _GAP), top + 58 + n // columns * (_HIGH + _GAP)))
    return "".join(drawn), height


def _chip(kind: str, action: str, x: int, y: int, width: int) -> str:
    text = f'<text x="{x + 9}" y="{y + 15}" fill="currentColor">{SIGNS[action][0]} {escape(kind)}</text>'
    return _shape(action, x, y, width, 22) + text


def _box(box: Box, x: int, y: int) -> str:
    label = f"{escape(_fit(box.label))}<title>{escape(', '.join(box.names))}</title>"
    name = f'<text x="{x + 10}" y="{y + 18}" fill="currentColor" font-weight="bold">{label}</text>'
    parts = f'<text x="{x + 10}" y="{y + 36}" fill="currentColor" xml:space="preserve">{escape(_parts(box))}</text>'
    return _shape(box.worst, x, y, _BOX, _HIGH) + name + parts


def _shape(action: str, x: int, y: int, width: int, height: int) -> str:
    """What is there has a plain frame; what comes has a dashed one; whatever happens to something there is filled."""
    colour = COLOURS[SIGNS[action][2]]
    dashed = ' stroke-dasharray="5 3"' if action == "create" else ""
    filled = 0.06 if action in ("create", "keep") else 0.16
    size = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="5"'
    return f'<rect {size} fill="{colour}" fill-opacity="{filled}" stroke="{colour}"{dashed}/>'


def _fit(text: str) -> str:
    return text if len(text) <= 27 else f"{text[:26]}…"
