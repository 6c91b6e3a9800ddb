"""What the user-data of a fleet with TLS says, and what it waits for; and what contradicts TLS and a login."""

from __future__ import annotations

import pytest

from corelib import parameters, userdata
from corelib.etcd.case import Check
from corelib.etcd.commands import see
from corelib.etcd.identity import identities
from corelib.etcd.intended import Intended
from corelib.parameters import ParametersError
from corelib.userdata.lint import lint

from .test_golden import COREOS, TLS
from .test_overlay import ADDRESSES, PRD, files, fleet, units, wireguard

TLS_LINE = "    tls: {ca: file:ca.pem, certificate: file:operator.pem, key: file:operator-key.pem}\n"


def with_tls(text: str) -> str:
    return text.replace("    bootstrap:", f"{TLS_LINE}    bootstrap:", 1)


@pytest.mark.parametrize(
    ("text", "unit"),
    [(TLS, "etcd-member"), (with_tls(COREOS), "etcd2"), (with_tls(wireguard()), "etcd-member")],
)
def test_every_url_is_https_and_every_port_wants_certificates(text: str, unit: str) -> None:
    one = userdata.render(fleet(text), "bootable", ADDRESSES)["azure-prd-02"]
    whole = "".join(file["content"] for path, file in files(one.text).items() if "/etc/etcd" in path)
    assert "http://" not in whole
    assert whole.count("https://10.1.0.2:2380") == 3  # listens, advertises, and stands in the list
    shared = files(one.text)[f"/etc/{unit}.env"]["content"]
    for whose in ("", "PEER_"):
        assert f'ETCD_{whose}CERT_FILE="/etc/ssl/certs/etcd/member.pem"' in shared
        assert f'ETCD_{whose}KEY_FILE="/etc/ssl/certs/etcd/member-key.pem"' in shared
        assert f'ETCD_{whose}TRUSTED_CA_FILE="/etc/ssl/certs/etcd/ca.pem"' in shared
        assert f'ETCD_{whose}CLIENT_CERT_AUTH="true"' in shared
    assert not [trap for trap in lint(one.content) if trap.rule in ("plaintext", "never-started")]
    assert "operator" not in one.text.replace("operator@example", "")
    assert "PRIVATE KEY" not in one.text


@pytest.mark.parametrize("text", [TLS, with_tls(COREOS), with_tls(wireguard())])
def test_etcd_waits_for_its_key_and_is_started_by_it(text: str) -> None:
    one = userdata.render(fleet(text), "bootable", ADDRESSES)["azure-prd-02"]
    etcd = next(unit for name, unit in units(one.text).items() if name in ("etcd-member.service", "etcd2.service"))
    assert etcd["enable"] is True
    assert "command" not in etcd
    assert "AssertPathExists=/etc/ssl/certs/etcd/member-key.pem\n" in etcd["drop_ins"][0]["content"]
    path = units(one.text)["etcd-certificates.path"]
    assert (path["enable"], path["command"]) == (True, "start")
    assert "PathExists=/etc/ssl/certs/etcd/member-key.pem\nUnit=etcd-certificates.service\n" in path["content"]
    assert f"Wants={etcd['name']}\nBefore={etcd['name']}\n" in units(one.text)["etcd-certificates.service"]["content"]
    waits = [finding for finding in one.report if "etcd waits for" in finding.message]
    assert [(finding.severity, finding.message) for finding in waits] == [
        ("info", "etcd waits for /etc/ssl/certs/etcd/member-key.pem")
    ]


def test_without_tls_nothing_of_it_is_rendered() -> None:
    for one in userdata.render(fleet(PRD), "bootable", ADDRESSES).values():
        assert "ssl" not in one.text
        assert "https://10.1" not in one.text


def test_the_ids_of_a_cluster_derive_from_how_it_speaks() -> None:
    secured, plain = fleet(TLS).etcd, fleet(PRD).etcd
    assert {member.scheme for member in secured.members} == {"https"}
    assert identities(secured.founders, secured.token).cluster != identities(plain.founders, plain.token).cluster
    assert f"{identities(plain.founders, plain.token).cluster:x}" == "1403ff3d734b76c1"


LAB_TLS = TLS.replace("target: real", "target: lab").replace("access: ssh", "access: direct")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (TLS.replace("key: file:operator-key.pem", "key: file:ca.pem"), "tls:", "tls.key is the same as tls.ca, file:ca.pem"),
        (TLS.replace("certificate: file:operator.pem", "certificate: file:ca.pem"), "tls:", "tls.certificate is the same"),
        (LAB_TLS, "tls:", "nobody brings certificates to a lab's hosts"),
        (TLS.replace("key: file:operator-key.pem", "key: operator-key.pem"), "tls:", "a secret is given by reference"),
        (TLS.replace(", key: file:operator-key.pem", ""), "tls:", "the key 'key' is missing in fleet.etcd.tls"),
        (TLS.replace("tls:", "login: {user: 'a:b', password: env:P}\n    tls:"), "login:", "etcd.login.user"),
        (TLS.replace("tls:", "login: {user: a, password: open-sesame}\n    tls:"), "login:", "a secret is given by reference"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_said_with_its_line(text: str, line: str, message: str) -> None:
    number = next(n for n, found in enumerate(text.splitlines(), 1) if found.strip().startswith(line))
    with pytest.raises(ParametersError) as refused:
        parameters.load(text, "p.yaml")
    found = [finding for finding in refused.value.report.errors if message in finding.message]
    assert [finding.where for finding in found] == [f"p.yaml:{number}"]
    assert "open-sesame" not in str(refused.value)


def test_a_password_over_plain_http_is_warned_of() -> None:
    login = "    login: {user: verifier, password: env:P}\n    bootstrap:"
    for text, warned in ((PRD, True), (TLS, False)):
        report = parameters.load(text.replace("    bootstrap:", login, 1), "p.yaml").report
        assert ("etcd.login sends a password over plain http" in str(report)) == warned


def test_what_a_person_types_has_the_certificates_and_the_user() -> None:
    login = "login: {user: verifier, password: env:P}\n    tls:"
    intended = Intended.of(fleet(TLS.replace("key: file:operator-key.pem", "key: env:KEY").replace("tls:", login, 1)))
    typed = see(Check("azure-prd-01", "alarms", "", "", "failed"), intended)
    options = "--cacert=ca.pem --cert=operator.pem --key=<(printenv KEY) --user=verifier"
    assert typed == f"etcdctl {options} --endpoints=https://10.1.0.1:2379 alarm list"
    there = see(Check("azure-prd-01", "alarms", "", "", "failed"), intended._replace(only_from_hosts=True))
    folder = "/etc/ssl/certs/etcd"
    own = f"--cacert={folder}/ca.pem --cert={folder}/member.pem --key={folder}/member-key.pem"
    assert there == f"sudo etcdctl {own} --user=verifier --endpoints=https://10.1.0.1:2379 alarm list"
    typed = see(Check("azure-prd-01", "identity", "", "", "failed"), intended)
    assert typed == "curl --cacert ca.pem --cert operator.pem --key <(printenv KEY) -si https://10.1.0.1:2380/members"
