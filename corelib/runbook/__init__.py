"""The runbooks: what each notebook calls, a module each, on a common session.

from corelib import runbook
run = runbook.begin("deploy-azure")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Name → module and class; a module is imported only when its runbook begins, so that render need not load Azure's SDK.
RUNBOOKS = {
    "render": (".render", "Render"),
    "deploy-azure": (".deploy_azure", "DeployAzure"),
    "install-hetzner": (".install_hetzner", "InstallHetzner"),
    "verify-etcd": (".verify_etcd", "VerifyEtcd"),
}


def begin(name: str) -> Any:
    """Begin a run of the runbook `name`: its journal, the redaction of all output, and the guard of parameters."""
    return of(name).begin()


def of(name: str) -> Any:
    """The class of the runbook `name`."""
    module, kind = RUNBOOKS[name]
    return getattr(import_module(module, __name__), kind)
