"""The picture of a plan: what is there, what comes, changes and goes, by sign as well as by colour."""

from __future__ import annotations

from xml.etree import ElementTree

from corelib.plan import Action, Plan, Step
from corelib.views.deployment import deployment


def picture(*steps: Step) -> str:
    view = deployment(Plan("deploy-azure", "lab", {}, "c", steps))
    assert view is not None
    drawing, _, _ = view.html().partition("<div>")
    ElementTree.fromstring(drawing)  # noqa: S314 - our own picture
    return view.text()


def step(target: str, action: Action = "keep", *, told: bool = False) -> Step:
    return Step(target, action, "", "", told=told)


def host(cluster: str, name: str, action: Action) -> list[Step]:
    return [step(f"{cluster}/interface/{name}-nic", action), step(f"{cluster}/machine/{name}", action)]


def test_each_host_shows_the_worst_of_its_parts_and_each_part_its_own() -> None:
    text = picture(
        step("a/group/a"),
        step("a/network/a-net", "change"),
        step("a/disk/a-01-etcd"),
        *host("a", "a-01", "create"),
        step("a/machine/a-02", "blocked"),
        step("a/machine/a-03", "replace"),
        step("a/machine/a-04", "destroy"),
        step("a/disk/a-05-etcd", told=True),
    )
    assert text.splitlines() == [
        "a: • group, ~ network",
        "  + a-01: + machine  • disk  + interface",
        "  ✘ a-02: ✘ machine",
        "  ⟳ a-03: ⟳ machine",
        "  − a-04: − machine",
        "  ! a-05: ! disk",
        "✘ blocked · − goes · ⟳ is replaced · ~ changes · + comes · ! is there, see below · • is there",
    ]


def test_of_many_hosts_those_that_fare_alike_share_a_box() -> None:
    many = [one for n in range(1, 41) for one in host("b", f"node-{n:03}", "create")]
    other = host("b", "node-900", "keep")
    assert picture(step("b/group/b"), *many, *other).splitlines()[1:3] == [
        "  + 40 × node-001 … 040: + machine  + interface",
        "  • node-900: • machine  • interface",
    ]
    assert len(picture(step("b/group/b"), *many[:24]).splitlines()) == 1 + 12 + 1


def test_a_plan_without_clusters_has_no_picture() -> None:
    assert deployment(Plan("install-hetzner", "lab", {}, "c", (step("ded-01/server/321", "create"),))) is None
    assert deployment(Plan("deploy-azure", "lab", {}, "c", (step("parameters/fleet.azure.tenant", "blocked"),))) is None
