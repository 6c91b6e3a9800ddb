"""Approval by others: who counts, who does not, and the way around it in an emergency."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncssh
import pytest

from corelib import lab
from corelib.errors import Refused
from corelib.fleet import Approver, Approvers
from corelib.plan import Plan, Step, permit
from corelib.record import Journal, countersigned, read, records, seal, signing
from corelib.record.finding import Finding
from corelib.record.signing import Key, load
from corelib.record.verify import verify
from corelib.runbook.approvals import Approvals, Given
from tests.project import lay_out, python_path

from . import papermill

NETWORK = "127.0.46.0/24"
LAB = ("-f", "parameters/lab.yaml")
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
PLAN = Plan("deploy-azure", "lab", {"endpoint": "x"}, "code", (Step("a/group/a", "create", "group a", "absent"),))


@dataclass
class Person:
    name: str
    file: Path
    key: Key


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Person]:
    folder, found = tmp_path_factory.mktemp("people"), {}
    for name in ("op", "anna", "ben", "mallory"):
        private = asyncssh.generate_private_key("ssh-ed25519", f"{name}@example")
        private.write_private_key(str(folder / name))
        (folder / name).chmod(0o600)
        found[name] = Person(name, folder / name, load(folder / name))
    return found


@pytest.fixture
def asked(people: dict[str, Person]) -> Approvers:
    keys = tuple(Approver(name=name, key=people[name].key.public) for name in ("op", "anna", "ben"))
    return Approvers(count=2, keys=keys)


@pytest.fixture
def shown(tmp_path: Path) -> Approvals:
    found = Approvals(tmp_path / "plans")
    found.remember(PLAN)
    return found


def _given(shown: Approvals, asked: Approvers, people: dict[str, Person]) -> list[str]:
    return [one.name for one in _read(shown, asked, people).counted]


def _read(shown: Approvals, asked: Approvers, people: dict[str, Person]) -> Given:
    return shown.of_others(PLAN.digest, asked, "op@host", people["op"].key.fingerprint, NOW)


def _passed_over(shown: Approvals, asked: Approvers, people: dict[str, Person], words: str) -> None:
    """One file does not count, and its reason is told; beside it those of others count as they did."""
    found = _read(shown, asked, people)
    assert found.counted == ()
    assert len(found.passed_over) == 1
    assert words in found.passed_over[0]
    shown.sign(PLAN.digest, people["ben"].key, "ben@laptop", NOW)
    assert _given(shown, asked, people) == ["ben"]


def test_two_others_count_and_one_twice_is_one(shown: Approvals, asked: Approvers, people: dict[str, Person]) -> None:
    assert _given(shown, asked, people) == []
    for _ in range(2):
        shown.sign(PLAN.digest, people["anna"].key, "anna@laptop", NOW)
    assert _given(shown, asked, people) == ["anna"]
    shown.sign(PLAN.digest, people["ben"].key, "ben@laptop", NOW - timedelta(hours=23))
    assert sorted(_given(shown, asked, people)) == ["anna", "ben"]


def test_an_old_approval_does_not_count(shown: Approvals, asked: Approvers, people: dict[str, Person]) -> None:
    shown.sign(PLAN.digest, people["anna"].key, "anna@laptop", NOW - timedelta(hours=25))
    shown.sign(PLAN.digest, people["ben"].key, "ben@laptop", NOW + timedelta(hours=1))
    assert _given(shown, asked, people) == []
    assert len([one for one in _read(shown, asked, people).passed_over if "that is valid for 24 h" in one]) == 2


@pytest.mark.parametrize(
    ("name", "account", "words"),
    [
        ("op", "elsewhere@host", "is the operator of this run"),
        ("anna", "op@host", "is the operator of this run"),
        ("mallory", "mallory@host", "is not among fleet.approvers.keys"),
    ],
)
def test_the_operator_and_strangers_do_not_count(
    shown: Approvals, asked: Approvers, people: dict[str, Person], name: str, account: str, words: str
) -> None:
    shown.sign(PLAN.digest, people[name].key, account, NOW)
    _passed_over(shown, asked, people, words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("anna@laptop", "boss@laptop", "its signature is not one of what it says"),
        (PLAN.digest, "plan-0000000000000000", "its signature is not one of what it says"),
        ("BEGIN SSH", "BEGIN", "its signature is not one of what it says"),
        ("statement", "statements", "it is none"),
    ],
)
def test_a_forged_approval_does_not_count(
    shown: Approvals, asked: Approvers, people: dict[str, Person], old: str, new: str, words: str
) -> None:
    file = shown.sign(PLAN.digest, people["anna"].key, "anna@laptop", NOW)
    file.write_text(file.read_text().replace(old, new))
    _passed_over(shown, asked, people, words)


def test_an_approval_of_another_plan_does_not_count(
    shown: Approvals, asked: Approvers, people: dict[str, Person]
) -> None:
    other = Plan("deploy-azure", "lab", {"endpoint": "y"}, "code", PLAN.steps)
    shown.remember(other)
    file = shown.sign(other.digest, people["anna"].key, "anna@laptop", NOW)
    file.rename(file.with_name(file.name.replace(other.digest, PLAN.digest)))
    _passed_over(shown, asked, people, f"it approves {other.digest}")


@pytest.fixture
def root(tmp_path: Path, people: dict[str, Person]) -> Iterator[Path]:
    """A lab whose environment asks for one other; `op` is the operator."""
    folder = lay_out(tmp_path / "project", "127.0.46")
    file = folder / "parameters" / "lab.yaml"
    lines = [f"      - {{name: {name}, key: {people[name].key.public}}}\n" for name in ("op", "anna")]
    asked = "  approvers:\n    count: 1\n    break_glass: true\n    keys:\n" + "".join(lines)
    file.write_text(file.read_text().replace("fleet:\n", f"fleet:\n{asked}", 1))
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


ACCOUNT = """
import os, pwd
if os.environ.get("TEST_ACCOUNT"):
    real = tuple(pwd.getpwuid(os.getuid()))
    pwd.getpwuid = lambda uid: pwd.struct_passwd((os.environ["TEST_ACCOUNT"], *real[1:]))
"""


def _account(root: Path, person: Person) -> dict[str, str]:
    """The environment of somebody with their key, on an account of their own name (there is only one here)."""
    (root / "sitecustomize.py").write_text(ACCOUNT)
    named = {"RUNBOOKS_SIGNING_KEY": str(person.file), "TEST_ACCOUNT": person.name}
    return {"RUNBOOKS_ROOT": str(root), "PYTHONPATH": python_path(root), **named}


def _as(root: Path, person: Person, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody."""
    return subprocess.run(
        [sys.executable, "-m", "corelib.cli", *command],
        cwd=root, env={**os.environ, **_account(root, person), **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.faults  # long: three runs by two people
def test_an_apply_waits_for_somebody_else(root: Path, people: dict[str, Person]) -> None:
    op, anna = people["op"], people["anna"]
    planned = papermill.run(root, "deploy-azure", *LAB)
    digest = re.findall(r"Digest: (plan-[0-9a-f]{16})", planned.shown)[0]
    run = ("run", "deploy-azure", *LAB, "--approved-plan", digest)
    unsigned = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest)
    assert "an unsigned run cannot show that its operator is not one of them" in unsigned.shown
    alone = _as(root, op, *run)
    assert alone.returncode == 3
    assert (
        f"1 others have to approve it, so far: nobody\nWhat to do: ask for: runbooks approve {digest}" in alone.stdout
    )
    himself = _as(root, op, "approve", digest)
    assert himself.returncode == 0
    assert "op approved, and is the operator of this run" in _as(root, op, *run).stdout
    given = _as(root, anna, "approve", digest)
    assert "You approve:\n  create azure-lab-a/group/azure-lab-a" in given.stdout
    applied = papermill.run(
        root, "deploy-azure", *LAB, "-p", "approved_plan", digest,
        environment=_account(root, op),
    )  # fmt: skip
    assert applied.record.outcome == "succeeded", applied.shown[-2000:]
    found = verify(Path(applied.record.path))
    assert found.intact
    assert f"{digest} was approved by anna ({anna.key.fingerprint})" in str(found.findings)
    assert [one.remark for one in records(root)] == [""] * 5


@pytest.mark.faults
def test_broken_glass_stands_out_until_it_is_countersigned(root: Path, people: dict[str, Person]) -> None:
    op, anna = people["op"], people["anna"]
    planned = papermill.run(root, "deploy-azure", *LAB)
    digest = re.findall(r"Digest: (plan-[0-9a-f]{16})", planned.shown)[0]
    run = ("run", "deploy-azure", *LAB, "--approved-plan", digest, "--break-glass", "nobody answers at 3 am")
    unsigned = _as(root, op, *run, RUNBOOKS_SIGNING_KEY="")
    assert (unsigned.returncode, records(root)[-1].remark) == (3, "")
    assert "an unsigned run cannot show that its operator is not one of them" in unsigned.stdout
    assert _as(root, op, *run).returncode == 0
    one = records(root)[-1]
    assert (one.outcome, one.remark) == ("succeeded", "BREAK GLASS, not countersigned")
    assert "BREAK GLASS, not countersigned" in _as(root, op, "records").stdout
    assert "nobody answers at 3 am" in _as(root, op, "show", one.id).stdout
    assert "you are its operator" in _as(root, op, "countersign", one.id).stderr
    assert "was not among its approvers" in _as(root, people["mallory"], "countersign", one.id).stderr
    signed = _as(root, anna, "countersign", one.id)
    assert signed.returncode == 0, signed.stderr
    assert "it is countersigned with this key already" in _as(root, anna, "countersign", one.id).stderr
    assert records(root)[-1].remark == ""
    assert verify(Path(one.path)).intact
    (file,) = Path(one.path).glob("countersigned-*.sig")
    file.write_text("anything")
    assert not verify(Path(one.path)).intact
    assert records(root)[-1].remark == "BREAK GLASS, not countersigned"


@pytest.mark.faults
def test_where_nobody_is_asked_there_is_no_glass_to_break(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "project", "127.0.46")
    lab.start(folder, NETWORK)
    try:
        planned = papermill.run(folder, "deploy-azure", *LAB)
        digest = re.findall(r"Digest: (plan-[0-9a-f]{16})", planned.shown)[0]
        run = papermill.run(folder, "deploy-azure", *LAB, "-p", "approved_plan", digest, "-p", "break_glass", "hurry")
        assert run.record.outcome == "refused"
        assert "asks for nobody's approval but yours" in run.shown
        assert json.loads((Path(planned.record.path) / "plan.json").read_text())["digest"] == digest
    finally:
        lab.stop(folder, NETWORK)


def test_an_unsigned_run_is_countersigned_by_nobody(tmp_path: Path, people: dict[str, Person]) -> None:
    """Its operator could do it: nothing tells whose key was not his."""
    op, journal = people["op"], Journal(tmp_path / "lab" / "r1")
    journal.write("start", signer="", operator="op@host")
    approvers = {"keys": [{"name": "op", "key": op.key.public}]}
    journal.write("parameters", ledger="", environment="lab", fleet={"approvers": approvers})
    journal.write("break-glass", reason="night")
    seal.close(journal, None, complete=True)
    with pytest.raises(Refused, match="nobody can tell that you are not its operator"):
        countersigned.countersign(journal.folder, read(journal.folder), op.key, "elsewhere@host")
    signature = op.key.sign((journal.folder / "journal.jsonl").read_bytes(), signing.COUNTERSIGN)
    (journal.folder / "countersigned-x.sig").write_bytes(signature)
    assert not verify(journal.folder).intact


def _approved(tmp_path: Path, people: dict[str, Person], operator: str = "op", **changes: str) -> list[Finding]:
    """What is found about a journal that names anna's approval of a plan, changed as a forger would."""
    shown = Approvals(tmp_path / "plans")
    shown.remember(PLAN)
    signed = json.loads(shown.sign(PLAN.digest, people["anna"].key, "anna@laptop", NOW).read_text())
    keys = [{"name": name, "key": people[name].key.public} for name in ("anna", "ben")]
    journal = Journal(tmp_path / "lab" / "r1")
    journal.write("start", signer=people[operator].key.fingerprint)
    journal.write("parameters", ledger="", environment="lab", fleet={"approvers": {"keys": keys}})
    facts = {"plan": PLAN.digest, "by": "anna", "at": NOW.isoformat(), "key": people["anna"].key.fingerprint}
    journal.write("approval", plan=PLAN.digest, by="op@host", at=NOW.isoformat(), consent=[])
    journal.write("approval", **(facts | signed | changes))
    journal.close()
    return [one for one in verify(journal.folder).findings if one.where == "journal.jsonl:4"]


def test_a_record_proves_an_approval_by_another(tmp_path: Path, people: dict[str, Person]) -> None:
    (found,) = _approved(tmp_path, people)
    expected = f"{PLAN.digest} was approved by anna ({people['anna'].key.fingerprint})"
    assert (found.kind, found.message) == ("note", expected)


def test_what_an_approver_signed_has_to_be_an_approval(tmp_path: Path, people: dict[str, Person]) -> None:
    signature = people["anna"].key.sign(b"[]", signing.APPROVAL).decode()
    (found,) = _approved(tmp_path, people, statement="[]", signature=signature)
    assert "the signed statement is no approval" in found.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"statement": "{}"}, "that key has not signed the statement"),
        ({"signature": ""}, "that key has not signed the statement"),
        ({"key": "SHA256:other"}, "that key has not signed the statement"),
        ({"by": "ben"}, "that key is not this approver's"),
        ({"plan": "plan-0000000000000000"}, "the signed statement has another 'approves'"),
        ({"at": "2026-11-24T03:00:00+00:00"}, "the signed statement has another 'at'"),
        ({"operator": "anna"}, "that is the operator's own key"),
    ],
)
def test_an_approval_that_was_not_given_so_is_told(
    tmp_path: Path, people: dict[str, Person], changes: dict[str, str], words: str
) -> None:
    (found,) = _approved(tmp_path, people, **changes)
    assert found.kind == "altered"
    assert words in found.message


def test_the_same_plan_can_be_approved_again_once_its_approval_has_expired(tmp_path: Path) -> None:
    approvals, later = Approvals(tmp_path / "plans"), NOW + timedelta(hours=25)
    approvals.remember(PLAN)
    approvals.approval(PLAN.digest, PLAN, "op@host", NOW)
    approvals.remember(PLAN, NOW + timedelta(hours=23))
    assert approvals.approval(PLAN.digest, PLAN, "op@host", later).at == NOW, (
        "who only repeats the digest renews nothing"
    )
    approvals.remember(PLAN, later)  # it is shown to somebody who has not approved it
    renewed = approvals.approval(PLAN.digest, PLAN, "op@host", later)
    assert renewed.at == later
    permit(PLAN, renewed, later)


def test_what_a_plan_was_asked_for_is_kept_with_it(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "plans")
    assert approvals.asked(PLAN.digest) is None
    approvals.remember(PLAN)
    assert approvals.asked(PLAN.digest) is None, "of a plan of an older version it is not known"
    approvals.remember(PLAN, NOW, {"replace": ("azure-lab-02",)})
    approvals.approval(PLAN.digest, PLAN, "op@host", NOW)
    approvals.remember(PLAN, NOW, {"replace": ("azure-lab-03",)})
    assert approvals.asked(PLAN.digest) == ({"replace": ["azure-lab-03"]}, PLAN.consents), "as it was shown last"
    assert approvals.approval(PLAN.digest, PLAN, "op@host", NOW + timedelta(hours=1)).at == NOW


def test_a_digest_that_was_never_shown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no plan plan-0123456789abcdef was ever shown here"):
        Approvals(tmp_path / "plans").approval("plan-0123456789abcdef", PLAN, "op@host", NOW)
