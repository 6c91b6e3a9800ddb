"""How a run is typed again at each front end, and whether two are asked for the same."""

from __future__ import annotations

import shlex

import pytest
import yaml

from corelib.runbook.invocation import Invocation, same, words


def test_it_is_typed_whole_at_each_front_end() -> None:
    asked = {"replace": ["azure-prd-01", "azure-prd-02"]}
    run = Invocation("deploy-azure", "parameters/my own.yaml", asked, "plan-1", ["replace azure-prd-01", "it's"])
    assert shlex.split(run.command) == [
        *("runbooks", "run", "deploy-azure", "-f", "parameters/my own.yaml"),
        *("--replace", "azure-prd-01", "--replace", "azure-prd-02", "--approved-plan", "plan-1"),
        *("--consent", "replace azure-prd-01", "--consent", "it's"),
    ]
    typed = shlex.split(run.papermill)
    assert typed[:3] == ["-p", "approved_plan", "plan-1"]
    assert [yaml.safe_load(text) for text in typed[4::2]] == [asked, {"consent": ["replace azure-prd-01", "it's"]}]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({}, {}, True),
        ({}, {"replace": []}, True),
        ({"replace": ["a", "b"]}, {"replace": ("b", "a")}, True),
        ({"replace": ["a"]}, {}, False),
        ({"replace": ["a"]}, {"destroy": ["a"]}, False),
        ({"restore": ["a"]}, {"restore": ["b"]}, False),
    ],
)
def test_what_is_asked_for_is_compared_by_name(
    one: dict[str, list[str]], other: dict[str, list[str]], is_same: bool
) -> None:
    assert same(one, other) is same(other, one) is is_same


def test_what_is_asked_for_is_said() -> None:
    assert words({"replace": ["a", "b"], "destroy": []}) == "replace a and b"
    assert words({}) == "nothing beside the parameters"
