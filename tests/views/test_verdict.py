"""What verify-etcd shows, as text and as HTML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from corelib.etcd.judge import Intended, judge
from corelib.etcd.samples import Samples
from corelib.views.verdict import show
from tests.etcd.samples import MEMBERS, TOKEN, healthy, spoilt
from tests.etcd.test_judge import DOWN

SITES = {m.name: "azure-prd-a" if n < 2 else "azure-prd-b" for n, m in enumerate(MEMBERS)}
INTENDED = Intended(MEMBERS, MEMBERS, TOKEN, 500, 2500, sites=SITES)


def text(samples: Samples) -> str:
    return show(
        judge(INTENDED, samples), INTENDED, ["a → b"], "20261123T030000Z-verify-etcd-0a1b2c", "from here"
    ).text()


def test_a_fault_says_what_was_expected_found_what_to_do_and_how_to_see_it() -> None:
    shown = text(spoilt(healthy(), 1, **DOWN))
    assert shown.splitlines()[0].startswith("✘ azure-prd-02 refuses connections on 10.1.0.2:2379")
    block = shown[shown.index("    check  ") :].splitlines()[:5]
    assert [line.split()[0] for line in block] == ["check", "expected", "found", "what", "see"]
    assert block[3].endswith("read etcd's journal on azure-prd-02 and start etcd there; do not wipe its data")
    assert block[4].endswith("curl -s -m 5 http://10.1.0.2:2379/version; ss -ltn | grep 2379")
    assert "✘ azure-prd-02 (10.1.0.2): client port: refused" in shown
    assert "Changed since the last healthy run (20261123T030000Z-verify-etcd-0a1b2c):\n  a → b" in shown


def test_a_healthy_cluster_is_told_shortly() -> None:
    shown = text(healthy())
    assert "✘" not in shown
    assert "azure-prd-b\n  ✔ azure-prd-03 (10.1.0.3): leads\n" in shown
    assert shown.endswith(" passed")
    assert "heartbeat 500" in shown


def test_the_picture_is_well_formed_and_has_every_member() -> None:
    html = show(judge(INTENDED, spoilt(healthy(), 1, **DOWN)), INTENDED, [], "", "from here").html()
    picture = ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])  # noqa: S314 - our own
    texts = [node.text or "" for node in picture.iter() if node.tag.endswith("text")]
    for member in MEMBERS:
        assert member.name in texts
    assert "✘ client port: refused" in texts
    assert sum(node.tag.endswith("path") for node in picture.iter()) == 3, "a line from each follower to the leader"
    width, height = (float(n) for n in picture.attrib["viewBox"].split()[2:])
    for box in (node.attrib for node in picture.iter() if node.tag.endswith("rect")):
        assert float(box["x"]) >= 0
        assert float(box["x"]) + float(box["width"]) <= width
        assert float(box["y"]) + float(box["height"]) <= height
