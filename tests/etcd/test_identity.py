"""Ids computed offline, against what real clusters showed."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from corelib import digests
from corelib.etcd.identity import cluster_id, identities, member_id, shown
from corelib.member import Member

REFERENCE = [Member(f"azure-prd-0{n}", IPv4Address(f"10.1.0.{n}")) for n in range(1, 5)]


@given(st.binary())
def test_the_interpreter_s_own_digests_are_those_of_openssl(content: bytes) -> None:
    assert digests.sha1(content).digest() == hashlib.sha1(content, usedforsecurity=False).digest()
    assert digests.blake2b(content).digest() == hashlib.blake2b(content).digest()


def test_the_reference_hosts_give_the_reference_cluster_id() -> None:
    assert shown(identities(REFERENCE, "etcd-cluster").cluster) == "1403ff3d734b76c1"


def test_the_ids_of_a_real_cluster() -> None:
    """As etcd 3.5.1 computed them for 127.0.14.1 to .4."""
    members = [Member(f"m{n}", IPv4Address(f"127.0.14.{n}")) for n in range(1, 5)]
    identity = identities(members, "etcd-cluster")
    assert shown(identity.cluster) == "c355c5f1d42cf4cb"
    assert list(identity.members.values()) == [
        10857793202462857503,
        11734337125741066287,
        13344063334849995436,
        2318013262368805234,
    ]


def test_ids_are_shown_as_etcdctl_shows_them() -> None:
    assert shown(0x0A00000000000001) == "a00000000000001"  # not padded


@given(st.permutations(REFERENCE))
def test_the_order_of_members_does_not_matter(members: list[Member]) -> None:
    assert identities(members, "etcd-cluster") == identities(REFERENCE, "etcd-cluster")


@given(st.text(max_size=20), st.integers(0, 3), st.integers(5, 250))
def test_another_token_or_address_gives_another_cluster(token: str, which: int, last: int) -> None:
    ours = identities(REFERENCE, "etcd-cluster").cluster
    if token != "etcd-cluster":
        assert identities(REFERENCE, token).cluster != ours
    altered = [*REFERENCE]
    altered[which] = Member(REFERENCE[which].name, IPv4Address(f"10.1.0.{last}"))
    assert identities(altered, "etcd-cluster").cluster != ours


def test_several_peer_urls_are_sorted() -> None:
    urls = ["http://10.1.0.1:7001", "http://10.1.0.1:2380"]
    assert member_id(urls, "t") == member_id(urls[::-1], "t") != member_id(urls[:1], "t")
    assert cluster_id([1, 2]) == cluster_id([2, 1]) != cluster_id([1])
