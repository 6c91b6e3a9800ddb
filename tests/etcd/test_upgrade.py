"""Which version of etcd may come after which."""

from __future__ import annotations

import pytest

from corelib.etcd.upgrade import forbidden


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        ("3.5.16", "3.5.16"),
        ("3.5.16", "3.5.1"),
        ("3.4.23", "3.5.16"),
        ("3.5.16", "3"),
        ("3.5.16", ""),
        ("", "3.6.0"),
        ("2.3.8", "2"),
    ],
)
def test_the_same_or_the_next_minor_version_may_come(running: str, wanted: str) -> None:
    assert forbidden(running, wanted) == ""


@pytest.mark.parametrize(
    ("running", "wanted", "words"),
    [
        ("2.3.8", "3", "etcdctl migrate"),
        ("2.3.8", "3.5.16", "etcdctl migrate"),
        ("2.3.8", "", "etcdctl migrate"),
        ("3.4.23", "3.6.1", "name one of 3.5 in etcd.version"),
        ("3.6.1", "3.5.16", "restore a snapshot of 3.5"),
        ("3.5.16", "2", "cannot read its data"),
    ],
)
def test_what_cannot_come_is_told_with_what_to_do_by_hand(running: str, wanted: str, words: str) -> None:
    assert words in forbidden(running, wanted)
