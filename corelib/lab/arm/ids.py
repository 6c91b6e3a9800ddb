"""Resource ids: `/subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME[/CHILD/NAME…]`, case-insensitive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResourceId:
    """A resource or one of its children, in the case in which it was written; compare by `key`."""

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    def __str__(self) -> str:
        path = "".join(f"/{kind}/{name}" for kind, name in zip(self.types, self.names, strict=True))
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{self.namespace}{path}"

    @property
    def key(self) -> str:
        """The id folded for comparison."""
        return str(self).lower()

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1]

    @property
    def type(self) -> str:
        """The type, such as `Microsoft.Network/virtualNetworks/subnets`."""
        return "/".join((self.namespace, *self.types))

    @property
    def top(self) -> ResourceId:
        """The resource that this is, or is a child of."""
        return ResourceId(self.subscription, self.group, self.namespace, self.types[:1], self.names[:1])

    def sibling(self, namespace: str, kind: str, name: str) -> ResourceId:
        """Another resource in the same group."""
        return ResourceId(self.subscription, self.group, namespace, (kind,), (name,))


def parse(text: str) -> ResourceId | None:
    """The id that `text` is, or None."""
    head, *words = text.strip().split("/")
    if head or len(words) < 8 or len(words) % 2 or not all(words):
        return None
    if [word.lower() for word in words[0:6:2]] != ["subscriptions", "resourcegroups", "providers"]:
        return None
    return ResourceId(words[1], words[3], words[5], tuple(words[6::2]), tuple(words[7::2]))
